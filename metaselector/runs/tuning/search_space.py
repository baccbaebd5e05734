"""The search space of `metaselector tune`: a YAML file of settings with ranges or choices."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from metaselector.common.errors import ConfigError, nearest
from metaselector.common.yaml_file import read_mapping, shown
from metaselector.config import Config, change_config
from metaselector.config.plugins.consent import CodeNotAllowed, check_code
from metaselector.config.renamed import current_key, former_key, warn_former

TUNABLE = ("base_models", "peer_learning", "selector", "adapt", "meta_train")
"""Sections of the configuration that can be tuned; the others define the data and the run."""

MOST_STEPS = 10**9
"""Most steps of a range; with more, Optuna's arithmetic fails."""
MOST_CHOICES = 1000
"""Most choices of a setting, since each is validated before the search begins."""


@dataclass(frozen=True)
class SearchSpace:
    """The settings to tune, and their possible values.

    Attributes:
        path: the file, for messages.
        distributions: by dotted name of the setting, in the order in which they are drawn. Choices
            are JSON strings, which tell 1 from true and allow lists.
        allow_code: whether choices may name Python code that the settings do not name.
    """

    path: Path
    distributions: dict[str, BaseDistribution]
    allow_code: bool = False

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a trial with Optuna's `params`, by dotted name."""
        return {
            key: json.loads(value)
            if isinstance(self.distributions[key], CategoricalDistribution)
            else value
            for key, value in params.items()
        }

    def current(self, config: Config) -> dict[str, Any]:
        """Return Optuna's parameters for the values in `config` that lie in the space."""
        settings = {key: setting(config, key) for key in self.distributions}
        found = {}
        for key, distribution in self.distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                for choice in distribution.choices:
                    # Compared as settings, so that 1 equals 1.0 for a number.
                    if change_config(config, self.values({key: choice})) == config:
                        found[key] = choice
            elif _contains(distribution, settings[key]):
                found[key] = settings[key]
        return found

    def change(self, config: Config, values: Mapping[str, Any]) -> Config:
        """Return `config` with `values` for some settings, given by dotted name.

        Raises:
            ConfigError: a setting is unknown or invalid, or names code that may not run.
        """
        changed = change_config(config, values)
        if not self.allow_code:
            known = config.model_dump(mode="json")
            check_code(self.path, changed.model_dump(mode="json"), [known])
        return changed

    def described(self) -> dict[str, Any]:
        """Return the distributions as JSON, to compare studies."""
        return {key: json.loads(distribution_to_json(d)) for key, d in self.distributions.items()}

    def probes(self, config: Config) -> dict[str, list[Config]]:
        """Return for each setting `config` with both ends of its range, or with each choice.

        Raises:
            ConfigError: a setting is unknown or cannot be tuned, or a value is invalid.
        """
        return {key: self._probe(config, key) for key in self.distributions}

    def _probe(self, config: Config, key: str) -> list[Config]:
        section, *rest = key.split(".")
        if section not in TUNABLE:
            raise self.error(key, f"only settings of {', '.join(TUNABLE)} can be tuned")
        if section == "base_models" and (not rest or rest[0] not in config.base_models):
            name = ".".join(rest[:1])
            raise self.error(
                key, f"this run has no base model '{name}'; {nearest(name, config.base_models)}"
            )
        distribution = self.distributions[key]
        if isinstance(distribution, CategoricalDistribution):
            tried: list[Any] = [json.loads(str(choice)) for choice in distribution.choices]
        else:
            assert isinstance(distribution, IntDistribution | FloatDistribution)
            tried = [distribution.low, distribution.high]
        try:
            changed = [self.change(config, {key: value}) for value in tried]
        except CodeNotAllowed:
            raise
        except ConfigError as error:
            raise ConfigError(f"{self.path}: {error}") from error
        if isinstance(distribution, FloatDistribution) and isinstance(
            setting(changed[0], key), int
        ):
            raise self.error(
                key, "takes integers; write low, high and step without a decimal point"
            )
        return changed

    def error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(f"{self.path}: {key}: {problem}")


def setting(config: Config, key: str) -> Any:
    """Return the value of the setting with this dotted name; None if `config` has none."""
    value: Any = config.model_dump(mode="json")
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def load_space(path: Path, *, allow_code: bool = False) -> SearchSpace:
    """Read a file of ``setting: {low, high, log, step}`` or ``setting: {choices: [...]}``.

    A range holds integers if both ends are integers.

    Raises:
        ConfigError: the file cannot be read, or has an invalid entry.
    """
    given = read_mapping(path)
    if not given:
        raise ConfigError(f"{path}: names no setting to tune")
    warn_former(path, [key for key in map(str, given) if current_key(key) != key])
    distributions: dict[str, BaseDistribution] = {}
    # Draws depend on the order; sorting by the former names keeps it.
    for key in sorted(map(str, given), key=lambda key: former_key(current_key(key))):
        try:
            if current_key(key) in distributions:
                raise ConfigError(f"is given as {current_key(key)} too; keep one")
            distributions[current_key(key)] = _distribution(given.get(key))
        except (ConfigError, ValueError, TypeError) as error:
            raise ConfigError(f"{path}: {shown(key)}: {shown(error)}") from error
    return SearchSpace(path, distributions, allow_code)


def _distribution(given: Any) -> BaseDistribution:
    if not isinstance(given, dict):
        raise ConfigError(f"expected {{low, high}} or {{choices}}, got {shown(repr(given))}")
    known = ["choices"] if "choices" in given else ["low", "high", "log", "step"]
    for name in map(str, given):
        if name not in known:
            raise ConfigError(f"unknown key '{shown(name)}'; {nearest(name, known)}")
    if "choices" in given:
        return _choices(given["choices"])
    for name in ("low", "high"):
        if name not in given:
            raise ConfigError(f"{name} is missing")
    low, high = _number("low", given["low"]), _number("high", given["high"])
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"log must be true or false (got {shown(repr(log))})")
    step = None if given.get("step") is None else _number("step", given["step"])
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and isinstance(step, float):
        raise ConfigError(f"step must be an integer, like low and high (got {step})")
    if step and abs(high - low) > MOST_STEPS * abs(step):
        raise ConfigError(f"step is too small for the range (got {low}, {high}, step {step})")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            if whole:
                return IntDistribution(int(low), int(high), log, 1 if step is None else int(step))
            return FloatDistribution(low, high, log, step)
        except UserWarning as error:
            raise ConfigError(
                f"high must be low plus a multiple of step (got {low}, {high}, step {step})"
            ) from error


def _choices(choices: Any) -> CategoricalDistribution:
    if not isinstance(choices, list) or not choices:
        raise ConfigError(f"choices must be a list of values (got {shown(repr(choices))})")
    if len(choices) > MOST_CHOICES:
        raise ConfigError(f"has {len(choices):,} choices; give at most {MOST_CHOICES:,}")
    written = [json.dumps(choice, sort_keys=True) for choice in choices]
    if len(set(written)) < len(written):
        raise ConfigError("two choices are equal")
    return CategoricalDistribution(written)


def _number(name: str, value: Any) -> float:
    if isinstance(value, str):  # YAML reads 1e-4 as text
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ConfigError(f"{name} must be a number (got {shown(repr(value))})")
    return value


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
        return False
    steps = 0.0 if distribution.step is None else (value - distribution.low) / distribution.step
    return abs(steps - round(steps)) < 1e-8
