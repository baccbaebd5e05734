"""Misspelt choices get a suggestion."""

from __future__ import annotations

import pytest

from metaselector.common.errors import ConfigError, UserError
from metaselector.config import load_config
from metaselector.runs.environment import check_device


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("protocol=wram", "protocol: 'wram' is not known; did you mean 'warm'?"),
        (
            "selector.inputs=[fild]",
            "selector.inputs.0: 'fild' is not known; did you mean 'fields'?",
        ),
        (
            "protocol=x",
            "protocol: 'x' is not known; valid names: cold, global, warm",
        ),
        ("protocol=3", "protocol: 3 is not known; valid names: cold, global, warm"),
        ("adapt.rule=mamm", "adapt.rule: unknown inner rule 'mamm'; did you mean 'maml'?"),
        ("meta_train.comm=power:2", "meta_train.comm: must be one of none, sparse, "),
        ("meta_train.comm=fp17", "did you mean 'fp16'?"),
    ],
)
def test_settings(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(overrides=[setting])
    assert message in str(raised.value)


def test_devices() -> None:
    with pytest.raises(UserError, match=r"'cdua:0' cannot be .* did you mean 'cuda'\?\); use cpu"):
        check_device("cdua:0")
