"""Configurations, ``--set`` and search spaces."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import yaml

from benchmarks.fuzz.mutations import word
from benchmarks.fuzz.odd_yaml import near, odd_yaml
from benchmarks.fuzz.target import Different, Target
from metaselector.config import Config, documented_yaml, load_config
from metaselector.runs.tuning.search_space import load_space

FILE = "given.yaml"
_SPACE: dict[str, Any] = {
    "adapt.steps": {"low": 1, "high": 4},
    "adapt.inner_lr_phi": {"low": 0.1, "high": 3.0, "log": True},
    "selector.hidden_size": {"choices": [4, 8]},
    "base_models.lr.pretrain.learning_rate": {"low": 0.001, "high": 0.1, "step": 0.001},
}


def targets(world: Path) -> list[Target]:
    return [
        Target("settings-file", _file, _load, 14),
        Target("settings-set", _overrides, _override, 10),
        Target("settings-space", _space, _load_space, 8),
    ]


def _whole(random: Random) -> dict[str, Any]:
    """The settings of some or all sections."""
    settings: dict[str, Any] = Config().model_dump(mode="json")
    chosen = random.sample(list(settings), random.choice((1, 2, 3, len(settings))))
    return {name: settings[name] for name in chosen}


def _file(random: Random, folder: Path) -> None:
    (folder / FILE).write_bytes(odd_yaml(random, _whole(random)))


def _load(folder: Path) -> None:
    config = load_config(folder / FILE)
    _require_round_trip(config, folder)


def _require_round_trip(config: Config, folder: Path) -> None:
    """Require that the documented and the saved YAML read back as the same settings."""
    texts = {
        "documented": documented_yaml(config),
        "saved": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    }
    for name, text in texts.items():
        path = folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        again = load_config(path)
        # Compared as text, since nan does not equal itself.
        if json.dumps(again.model_dump(mode="json")) != json.dumps(config.model_dump(mode="json")):
            raise Different(f"{name} settings are read differently: {again} instead of {config}")


def _overrides(random: Random, folder: Path) -> None:
    known = _dotted(Config().model_dump(mode="json"))
    given = []
    for _ in range(random.choice((1, 1, 2))):
        key, value = random.choice(known)
        text = word(random) if random.random() < 0.2 else _inline(near(random, value))
        if random.random() < 0.2:
            key = random.choice(
                (f"{key}.x", key.rpartition(".")[0], word(random), f".{key}", f"{key}.")
            )
        given.append(f"{key}={text}" if random.random() < 0.97 else key)
    (folder / FILE).write_text(json.dumps(given), encoding="utf-8")


def _dotted(settings: Any, key: str = "") -> list[tuple[str, Any]]:
    if not isinstance(settings, dict) or not settings:
        return [(key, settings)]
    return [
        found
        for name, value in settings.items()
        for found in _dotted(value, f"{key}.{name}" if key else name)
    ]


def _inline(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _override(folder: Path) -> None:
    given = json.loads((folder / FILE).read_text(encoding="utf-8"))
    _require_round_trip(load_config(None, given), folder)


def _space(random: Random, folder: Path) -> None:
    chosen = random.sample(list(_SPACE), random.randint(1, len(_SPACE)))
    (folder / FILE).write_bytes(odd_yaml(random, {key: _SPACE[key] for key in chosen}))


def _load_space(folder: Path) -> None:
    config = load_config()
    space = load_space(folder / FILE)
    space.probes(config)
    space.current(config)
    json.dumps(space.described())
