"""A trained model in a directory: save it, load it, and detect damage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from metaselector.common import __version__
from metaselector.common.errors import (
    CheckpointError,
    DamagedError,
    DataError,
)
from metaselector.common.files import atomic_directory
from metaselector.config import BaseModelConfig, Config, load_config
from metaselector.config.plugins.from_file import is_in_file
from metaselector.config.plugins.registry import identity
from metaselector.data.encoded.digests import add_digests, check_digests
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.meta.parameters import in_parts
from metaselector.meta.variants import Variant, make_adaptation
from metaselector.models import registry
from metaselector.models.build import build_mixture
from metaselector.models.kept_estimators import FittedEstimator, Form, Kept, estimator_file
from metaselector.models.mixture import Mixture
from metaselector.models.precomputed import Scored, scores_column
from metaselector.models.similarity.contract import Similarities
from metaselector.models.similarity.saving import SimilarityState
from metaselector.runs.environment import check_device
from metaselector.training.checkpoint import read_checkpoint, save_checkpoint
from metaselector.training.peer_learning.views import viewed
from metaselector.training.tensors import Room, TooLarge, unfit

STATE = "state.json"
MODEL = "model.safetensors"
_FORMAT = 4
"""The format that is written."""
_WITHOUT_SIMILARITIES = 3
"""The oldest format that is read, if residuals do not correct its predictions. Earlier ones lack
the digests that reveal damage."""
SETTINGS = "config.yaml"
_FILES = (STATE, MODEL, SETTINGS)
_AGAIN = "save the model again"


@dataclass(frozen=True)
class SavedModel:
    """The contents of the directory.

    Attributes:
        encoder: the data's schema, and the known users and items with their features.
        config: the settings that the model was trained with.
        variant: its row in the results table.
        seed: the seed of its training.
        mixture: base models trained on all rows before *test*, under the learned selector, with
            the similarities of rows that the correction by residuals needs.
        alpha: the inner learning rates, by name.
        estimators: the fitted estimators among the base models, by name.
    """

    encoder: FittedEncoder
    config: Config
    variant: Variant
    seed: int
    mixture: Mixture
    alpha: dict[str, Tensor]
    estimators: Mapping[str, FittedEstimator] = field(default_factory=dict)


def save_model(directory: Path, model: SavedModel) -> None:
    """Write the model to a directory, which appears complete or not at all.

    Raises:
        ConfigError: a similarity of rows cannot be saved.
    """
    alike = _similarity_state(model)
    tensors = {f"mixture/{name}": t for name, t in model.mixture.state_dict().items()}
    tensors |= {f"alpha/{name}": t for name, t in model.alpha.items()}
    tensors |= {f"similarity/{name}": t for name, t in alike.tensors.items()}
    forms = {name: one.kept.form for name, one in model.estimators.items()}
    state = {
        "format": _FORMAT,
        "metaselector": __version__,
        "variant": model.variant,
        "seed": model.seed,
        "files": _in_files(model.config),
        "similarities": alike.numbers,
        "estimators": forms,
    }
    with atomic_directory(directory) as target:
        settings = yaml.safe_dump(model.config.model_dump(mode="json"), sort_keys=False)
        (target / SETTINGS).write_text(settings, encoding="utf-8")
        (target / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        (target / "data").mkdir()
        model.encoder.save(target / "data")
        copies = {name: t.detach().cpu().clone() for name, t in tensors.items()}
        save_checkpoint(target / MODEL, copies, {}, {})
        for name, one in model.estimators.items():
            (target / estimator_file(name, one.kept.form)).write_bytes(one.kept.data)
        add_digests(target, (*_FILES, *_estimator_files(forms)))


def load_model(
    directory: Path, changes: Mapping[str, Any] = {}, *, allow_code: bool = False
) -> SavedModel:
    """Read what :func:`save_model` wrote.

    Args:
        changes: new values of settings that do not change results: ``device``, ``threads``.
        allow_code: whether the settings may name Python code, which then runs.

    Raises:
        CheckpointError: the model is missing or damaged, or a file with its code has changed.
        ConfigError: a base model is not available (its plug-in is not installed), or the settings
            name code that may not run.
    """
    try:
        state = _State.read(directory / STATE)
        if state.format in (_FORMAT, _WITHOUT_SIMILARITIES):
            check_digests(directory, (*_FILES, *_estimator_files(state.estimators)))
            tensors = read_checkpoint(directory / MODEL).tensors
    except (OSError, ValueError, DataError, DamagedError) as error:
        raise _damaged(directory, error) from error
    if state.format not in (_FORMAT, _WITHOUT_SIMILARITIES):
        raise _other_format(directory, state)
    config = load_config(directory / SETTINGS, changes=changes, allow_code=allow_code)
    if state.format != _FORMAT and config.adapt.residuals.enabled:
        raise _other_format(directory, state)
    check_device(config.device)
    now = _in_files(config)
    for key, said in state.files.items():
        if said != now.get(key):
            raise CheckpointError(
                f"{directory}: {key}: the file has changed since the model was saved; bring "
                f"back the one it was saved with, or {_AGAIN}"
            )
    named = [name for name, model in config.base_models.items() if model.gives_scores]
    if sorted(named) != sorted(state.estimators):
        wrong = ValueError(f"{STATE}: its estimators are not those of {SETTINGS}")
        raise _damaged(directory, wrong)
    encoder = FittedEncoder.load(directory / "data")
    try:
        parts = ("mixture", "alpha", "similarity")
        of_mixture, alpha, alike = in_parts(tensors, parts, config.device)
    except ValueError as error:
        raise _damaged(directory, error) from error
    try:
        with Room(of_mixture):
            mixture = _untrained(encoder, config, state.seed)
        problem = unfit(of_mixture, mixture)
    except TooLarge as error:
        problem = str(error)
    if problem:  # or a plug-in's class has changed under the same options
        raise CheckpointError(
            f"{directory}: its tensors do not fit its base models and selector: {problem}; {_AGAIN}"
        )
    mixture.load_state_dict(of_mixture)
    try:
        saved = SimilarityState(state.similarities, alike)
        mixture.similarity = _restored(saved, encoder, config)
    except ValueError as error:
        raise _damaged(directory, error) from error
    estimators = {
        name: FittedEstimator(
            Kept(form, (directory / estimator_file(name, form)).read_bytes()),
            str(config.base_models[name].estimator),
            name,
        )
        for name, form in state.estimators.items()
    }
    return SavedModel(encoder, config, state.variant, state.seed, mixture, alpha, estimators)


class _State(BaseModel):
    """The file :data:`STATE`."""

    model_config = ConfigDict(strict=True)

    format: int
    variant: Variant
    seed: int = Field(ge=0)
    files: dict[str, str] = {}  # older ones have none
    similarities: dict[str, tuple[str, ...]] = {}
    estimators: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")], Form] = {}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file; raises :class:`ValueError` with a short message, or :class:`OSError`."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path.name}: {where}: {first['msg']}") from error


def _damaged(directory: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{directory}: no saved model, or a damaged one ({error}); {_AGAIN}")


def _other_format(directory: Path, state: _State) -> CheckpointError:
    return CheckpointError(
        f"{directory}: has format {state.format}, this version reads format {_FORMAT}; "
        f"use the version of MetaSelector that saved it, or {_AGAIN}"
    )


def _similarity_state(model: SavedModel) -> SimilarityState:
    """Of the similarities that the model's predictions depend on."""
    adaptation = make_adaptation(model.variant, model.mixture, model.config, model.alpha)
    if adaptation.residuals is None or model.mixture.similarity is None:
        return SimilarityState({}, {})
    return SimilarityState.of(model.mixture.similarity.parts)


def _restored(saved: SimilarityState, encoder: FittedEncoder, config: Config) -> Similarities:
    for name in saved.numbers:  # only the settings may name code
        if name not in config.adapt.residuals.similarities:
            raise ValueError(f"similarity '{name}' is not in its settings")
    return saved.restored(encoder.schema)


def _untrained(encoder: FittedEncoder, config: Config, seed: int) -> Mixture:
    """Untrained base models and selector, as the settings ask for."""
    schema = encoder.schema

    def untrained(name: str, settings: BaseModelConfig) -> nn.Module:
        if settings.gives_scores:
            column = scores_column(config.base_models, config.seeds, name, "full", seed)
            return Scored(schema.num_slots + column)
        model = settings.model or name
        built = registry.build_base_model(model, schema, settings.options, seed, called=name)
        return viewed(built, name, config, schema)

    models = {name: untrained(name, settings) for name, settings in config.base_models.items()}
    return build_mixture(models, schema, config, seed)


def _estimator_files(estimators: Mapping[str, Form]) -> list[str]:
    return [estimator_file(name, form) for name, form in estimators.items()]


def _in_files(config: Config) -> dict[str, str]:
    """The files with code that the settings name, and a digest of each."""
    named = {f"base_models.{name}.model": m.model for name, m in config.base_models.items()}
    named |= {f"base_models.{n}.estimator": m.estimator for n, m in config.base_models.items()}
    named |= {"selector.kind": config.selector.kind, "adapt.rule": config.adapt.rule}
    named |= {
        f"adapt.residuals.similarities: {name}": name
        for name in config.adapt.residuals.similarities
    }
    return {key: identity(name) for key, name in named.items() if name and is_in_file(name)}
