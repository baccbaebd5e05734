"""What a base model's checkpoint records of the split."""

from __future__ import annotations

from typing import Any

import pytest

from metaselector.config import load_config
from metaselector.runs.checkpoint_settings import CheckpointSettings

DATES = "split.dates=[2024-01-01, 2024-02-01, 2024-03-01]"


def recorded(*overrides: str) -> dict[str, Any]:
    return CheckpointSettings(load_config(overrides=overrides), "", None).base("lr", "train", 0)


def of_rival(*overrides: str) -> dict[str, Any]:
    settings = CheckpointSettings(load_config(overrides=overrides), "", None)
    adapt: dict[str, Any] = settings.learned("user-finetuned", 0)["adapt"]
    return adapt


def test_users_to_tune_the_rival_on_are_recorded_if_others_than_ever() -> None:
    """So that checkpoints of earlier versions match."""
    assert of_rival("adapt.finetune_users=1000") == {"support_size": 40}
    assert of_rival("adapt.finetune_users=7")["finetune_users"] == 7
    assert of_rival()["finetune_users"] == 10_000
    settings = CheckpointSettings(load_config(overrides=["adapt.finetune_users=7"]), "", None)
    assert "finetune_users" not in str(settings.learned("user-finetuned-plain", 0))
    assert "finetune_users" not in str(settings.learned("metaselector", 0))
    assert settings.learned("user-finetuned-residuals", 0)["adapt"]["finetune_users"] == 7


def test_users_to_validate_on_are_recorded_if_limited() -> None:
    for variant in ("user-finetuned", "sample-selector", "metaselector"):
        found = []
        for overrides in ([], ["evaluate.max_users=9"]):
            settings = CheckpointSettings(load_config(overrides=overrides), "", None)
            found.append(settings.learned(variant, 0))  # type: ignore[arg-type]
        assert found[1] == found[0] | {"evaluate": {"max_users": 9}}
    assert recorded("evaluate.max_users=9") == recorded()


def test_without_dates_the_split_is_recorded_as_ever() -> None:
    """So that checkpoints of earlier versions match."""
    made = recorded()
    assert list(made) == ["split", "base_models", "seed", "data_sha256", "window"]
    assert made["split"] == {"early": 60, "train": 80, "valid": 90}
    assert recorded("protocol=global")["split"] == made["split"]


def test_given_dates_are_recorded() -> None:
    split = recorded("protocol=global", DATES)["split"]
    assert split["dates"] == [f"2024-0{month}-01T00:00:00Z" for month in (1, 2, 3)]


@pytest.mark.parametrize("protocol", ["warm", "global"])
def test_the_split_of_users_matters_to_the_cold_protocol_only(protocol: str) -> None:
    assert recorded(f"protocol={protocol}", "cold.early=50") == recorded(f"protocol={protocol}")
    assert "split" not in recorded("protocol=cold")
