"""What shells are told that an option's value can be."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from metaselector.cli import completion
from metaselector.config import Config, load_config
from metaselector.data.registry import DATASETS
from metaselector.meta.variants import LEARNED
from metaselector.models.registry import BUILT_IN

PROGRAM = "import sys; sys.argv[0] = 'metaselector'; from metaselector.cli import main; main()"


def ask(shell: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "_METASELECTOR_COMPLETE": f"complete_{shell}", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.stdout


def bash(*words: str) -> list[str]:
    """What bash is offered in place of the last word, which it splits at ``=``."""
    typed = "\n".join(("metaselector", *words))
    found = ask("bash", COMP_WORDS=typed, COMP_CWORD=str(len(words))).split()
    return sorted(found)  # as bash does


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("repro", ["reproduce"]),
        ("data de", ["describe"]),
        ("data fetch movielens-100k-", ["movielens-100k-funnel"]),
        ("reproduce --protocol w", ["warm"]),
        ("reproduce --protocol = g", ["global"]),
        ("reproduce --dataset amazon-e", ["amazon-electronics"]),
        ("reproduce --dataset shop", []),  # bash then offers files
        ("reproduce --strategy m", ["mutual"]),
        ("reproduce --track t", ["tensorboard"]),
        ("reproduce --comm powersgd", ["powersgd:"]),
        ("reproduce --seed ", []),
        ("tune --target sam", ["sample-selector"]),
        ("reproduce --set adapt.sup", ["adapt.support_size", "adapt.support_sizes"]),
        ("reproduce --set adapt.steps", ["adapt.steps=2"]),
        ("reproduce --set half_lives", []),
        ("reproduce --set adapt.rule = ma", ["maml"]),
        ("reproduce --set = adapt.rule = ma", ["maml"]),
        ("reproduce --set adapt.rule = maml --set protocol = c", ["cold"]),
        ("reproduce --set adapt.rule = maml --protocol c", ["cold"]),
        ("reproduce --set adapt.steps =", ["2"]),
        ("reproduce --set base_models.mine.model = sing", ["single-task"]),
        ("reproduce --set base_models.aitm.pretrain.epo", ["base_models.aitm.pretrain.epochs=30"]),
        ("reproduce --set meta_train.no =", []),
    ],
)
def test_bash(typed: str, offered: list[str]) -> None:
    assert bash(*typed.split(" ")) == offered


def test_sections_come_before_what_is_in_them() -> None:
    offered = bash("reproduce", "--set", "")
    assert "adapt." in offered
    assert "protocol" in offered
    assert not any(key.startswith("adapt.") for key in offered if key != "adapt.")
    inside = bash("reproduce", "--set", "adap")  # a space would follow a lone "adapt."
    assert "adapt.rule" in inside
    assert "adapt.residuals." in inside


def test_values_that_are_offered_are_valid() -> None:
    keys = [key for key in completion._settings() if not key.startswith("base_models.")]
    apart = ("peer_learning.views", "adapt.granularity")  # which go together with others
    lines = [
        line for key in keys if key not in apart for line in completion.key_and_value(f"{key}=")
    ]
    assert len(lines) > len(keys) / 2
    for line in lines:
        load_config(overrides=[line + "1" * line.endswith(":")])


def test_names_that_are_repeated_to_save_time() -> None:
    assert {*completion.FETCHED, "amazon"} == {*DATASETS}
    assert completion.SELECTORS == LEARNED
    assert {*completion.targets("")} == {*LEARNED, *Config().base_models}
    assert {*BUILT_IN} <= {*completion._choices("base_models.lr.model")}


def test_zsh_does_not_split_words() -> None:
    offered = ask("zsh", _TYPER_COMPLETE_ARGS="metaselector reproduce --set adapt.rule=ma")
    assert '"adapt.rule=maml"' in offered


def test_the_shell_does_not_wait_for_torch() -> None:
    program = (
        "import sys; from metaselector.cli.completion import key_and_value; "
        "key_and_value('adapt.rule='); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not {"torch", "pandas", "numpy"} & set(done.stdout.split())
