"""What a search leaves behind."""

from __future__ import annotations

import optuna
import pytest

from metaselector.common.progress import Silent
from metaselector.config import change_config, load_config
from metaselector.runs.run import Run
from metaselector.runs.tuning.search import tune
from tests.runs.tuning.small_search import (
    FM,
    RATES,
    SIMPLIFIED,
    Write,
)


@pytest.mark.usefixtures("simple")
@pytest.mark.parametrize(
    "text", [RATES, FM, "adapt.parameters: {choices: [['*'], ['selector.*']]}\n"]
)
def test_the_chosen_settings_can_be_loaded(run: Run, space: Write, text: str) -> None:
    found = tune(run, space(text), SIMPLIFIED, 4, Silent())
    loaded = load_config(found.settings)
    assert loaded == change_config(run.config, found.chosen)
    assert list(loaded.base_models) == ["lr", "fm"]
    header = found.settings.read_text()
    assert f"{found.before:.6f} with the run's own settings" in header
    assert f"{found.best:.6f} with these" in header


@pytest.mark.usefixtures("simple")
def test_optuna_is_quiet_and_as_it_was(
    run: Run, space: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    verbosity = optuna.logging.get_verbosity()
    tune(run, space(RATES), SIMPLIFIED, 12, Silent())
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity
