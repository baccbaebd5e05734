"""Every setting, with its default, unit and meaning; a YAML file and flags change them."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from metaselector.default_models import KNOWN, default_base_models
from metaselector.errors import ConfigError, nearest
from metaselector.plugin_dotted import is_dotted
from metaselector.plugin_kinds import ESTIMATORS, METRICS, RULES, SELECTORS, TRACKERS
from metaselector.plugins import Plugins
from metaselector.training_config import (
    CheckpointConfig,
    PretrainConfig,
    Section,
    TeachingConfig,
    TransferConfig,
)
from metaselector.yaml_mapping import read_mapping


class DataConfig(Section):
    label_threshold: float = Field(4.0, description="a rating at or above it is a positive label")
    history_length: int = Field(20, ge=1, description="latest positives kept as history slots")
    min_count: int = Field(
        1, ge=1, description="words in fewer rows of train than this count as unseen"
    )
    drop_short_users: bool = Field(
        False, description="drop users with a single row instead of stopping with an error"
    )


class SplitConfig(Section):
    early: int = Field(
        60, gt=0, lt=100, description="percent of a user's rows that the early base models train on"
    )
    train: int = Field(80, gt=0, lt=100, description="percent of a user's rows where train ends")
    valid: int = Field(
        90, gt=0, lt=100, description="percent of a user's rows where valid ends; the rest is test"
    )

    @model_validator(mode="after")
    def _ordered(self) -> SplitConfig:
        if not self.early < self.train < self.valid:
            raise ValueError(
                f"early < train < valid must hold, got {self.early}, {self.train}, {self.valid}"
            )
        return self


class ColdConfig(SplitConfig):
    early: int = Field(
        60, gt=0, lt=100, description="percent of the users that the early base models train on"
    )
    train: int = Field(
        80, gt=0, lt=100, description="percent of the users where meta-training ones end"
    )
    valid: int = Field(
        90, gt=0, lt=100, description="percent where validation ones end; the rest are test users"
    )
    split_seed: int = Field(0, ge=0, lt=10**16, description="another one splits users otherwise")
    support_sizes: tuple[int, ...] = Field(
        (5, 10, 20, 40),
        min_length=1,
        description="first rows that a new user adapts on, ascending; a table of results each",
    )

    @field_validator("support_sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
            raise ValueError("1 or more rows each, every size once, in ascending order")
        return sizes


class ScoresConfig(Section):
    file: str = Field(
        description="CSV, TSV or Parquet with the columns row (position in the raw file, from 0) "
        "and user (optional, checked), or those of by; {window} in its name stands for early, "
        "train and full"
    )
    column: str = Field("score", description="column of the scores")
    kind: Literal["probability", "logit"] = Field("probability", description="what they are")
    by: tuple[Literal["user", "item", "time"], ...] | None = Field(
        None,
        description="columns that say what a score is of: user and item, and time (seconds since "
        "1970) if need be; null: row",
    )

    @field_validator("by")
    @classmethod
    def _pairs(cls, by: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if by is not None and sorted(by) not in (["item", "user"], ["item", "time", "user"]):
            raise ValueError("[user, item] or [user, item, time]")
        return by


def _checked(kind: Plugins, name: str) -> str:
    """`name`, if there is such a thing; pydantic takes no other error than a ValueError."""
    try:
        kind.check(name)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return name


class BaseModelConfig(Section):
    model: str | None = Field(
        None,
        description="which base model this is, so that there can be several of one kind, or "
        "path/to/file.py:Class; null: the one of this name",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="arguments of the model's constructor"
    )
    pretrain: PretrainConfig = Field(
        default_factory=PretrainConfig, description="how this model is trained"
    )
    scores: ScoresConfig | None = Field(
        None, description="a file of another system's scores, instead of a model"
    )
    estimator: str | None = Field(
        None,
        description="a class with fit and predict_proba, instead of a model: package.module.Class, "
        "such as lightgbm.LGBMClassifier, a plug-in, or path/to/file.py:Class; it gets the options",
    )

    @model_validator(mode="after")
    def _one_or_the_other(self) -> BaseModelConfig:
        if self.scores is not None and (self.model is not None or self.options):
            raise ValueError("scores stand instead of a model: remove model and options")
        if self.estimator is not None:
            if self.model is not None or self.scores is not None:
                raise ValueError("an estimator stands instead of a model: remove model and scores")
            if self.pretrain != PretrainConfig():
                raise ValueError(
                    "an estimator trains itself: remove pretrain, and call it otherwise than a "
                    "built-in model, whose settings it would start from"
                )
        return self

    @field_validator("estimator")
    @classmethod
    def _known(cls, estimator: str | None) -> str | None:
        if estimator is None or is_dotted(estimator):
            return estimator
        try:
            return _checked(ESTIMATORS, estimator)
        except ValueError as error:
            raise ValueError(f"{error}; or give package.module.Class") from error

    @property
    def gives_scores(self) -> bool:
        """Whether it is a column of scores beside the data, and so never adapts."""
        return self.scores is not None or self.estimator is not None


SelectorInput = Literal["fields", "outputs", "disagreement", "support-losses"]


class SelectorConfig(Section):
    kind: str | None = Field(
        None, description="a plug-in or a class in a file; null: the gated network"
    )
    options: dict[str, Any] | None = Field(
        None, description="arguments of a plug-in's constructor that are no settings here"
    )
    sees: tuple[SelectorInput, ...] = Field(
        ("fields", "outputs"),
        min_length=1,
        description="inputs, in any order: fields (its own embeddings of a row's features), "
        "outputs (the base models' log-odds), disagreement (how far each is from their mean), "
        "support-losses (each one's mean logloss on the user's support before it adapts)",
    )
    embedding_size: int = Field(8, ge=1, description="width of the selector's own embeddings")
    hidden_size: int = Field(32, ge=1, description="width of the gated layer")
    temperature: float = Field(
        1.0, gt=0, description="divides the logits of the weights; higher is closer to uniform"
    )
    uniform_share: float = Field(
        0.0, ge=0, lt=1, description="share x of uniform weights: (1 - x) softmax + x / K"
    )
    learning_rate: float = Field(
        1e-3, ge=0, description="Adam's rate for the sample-level selector, from which phi starts"
    )

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str | None) -> str | None:
        return None if kind is None else _checked(SELECTORS, kind)

    @field_validator("sees")
    @classmethod
    def _each_once(cls, sees: tuple[SelectorInput, ...]) -> tuple[SelectorInput, ...]:
        if len(set(sees)) < len(sees):
            raise ValueError("every kind of input once")
        return tuple(kind for kind in get_args(SelectorInput) if kind in sees)


class AdaptConfig(Section):
    rule: str = Field(
        "meta-sgd",
        description="inner rule: maml, first-order-maml, meta-sgd, a plug-in, or a class in a file",
    )
    granularity: Literal["scalar", "tensor", "element"] = Field(
        "tensor", description="Meta-SGD: one learned rate for all, one a tensor, or one an element"
    )
    steps: int = Field(2, ge=0, description="inner steps")
    per_step: bool = Field(
        True, description="rates of its own for every inner step (granularity scalar or tensor)"
    )
    half_lives: tuple[float | None, ...] = Field(
        (2.0,),
        description="for the last inner steps, how many later rows halve a support row's weight; "
        "null weighs all alike, as the steps before do",
    )
    prior_rows: float = Field(
        0.0,
        ge=0,
        description="a user's support loss counts n / (n + this), n their support rows, so that "
        "few rows move the parameters less",
    )
    engine: Literal["func", "higher", "learn2learn"] = Field(
        "func",
        description="what runs the inner loop, with equal results; func adapts all users at once",
    )
    max_users_per_chunk: int = Field(
        64, ge=1, description="users adapted at a time; bounds memory, changes numbers by rounding"
    )
    inner_dropout: bool = Field(
        False,
        description="apply the base models' dropout while meta-training, with a mask for each user "
        "and pass; predictions never use it",
    )
    support_size: int = Field(40, ge=1, description="latest rows a user adapts on (warm)")
    theta_rate: float = Field(0.1, description="initial inner rate of base-model parameters")
    phi_rate: float = Field(0.5, description="initial inner rate of selector parameters")
    names: tuple[str, ...] = Field(
        ("*",), description="shell-style patterns of the parameters that adapt, such as selector.*"
    )
    task_weights: dict[str, float] | None = Field(
        None,
        description="of several tasks, what the loss of each counts by its name, both where users "
        "adapt and where selectors learn; 1 for those not named",
    )
    compared_rules: tuple[Literal["maml", "first-order-maml"], ...] = Field(
        (), description="rules that MetaSelector is trained with as well, a row of the table each"
    )
    finetune_steps: int = Field(5, ge=1, description="steps of the row user-finetuned")
    finetune_rates: tuple[float, ...] = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0),
        min_length=1,
        description="learning rates that user-finetuned chooses from on valid",
    )

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        return _checked(RULES, rule)

    @model_validator(mode="after")
    def _steps(self) -> AdaptConfig:
        if any(half_life is not None and half_life <= 0 for half_life in self.half_lives):
            raise ValueError(f"half_lives must be positive or null, got {list(self.half_lives)}")
        if len(self.half_lives) > max(self.steps, 1):
            raise ValueError(
                f"half_lives has {len(self.half_lives)} values for {self.steps} steps; give one a "
                "step at most"
            )
        if self.per_step and self.rule == "meta-sgd" and self.granularity == "element":
            raise ValueError("per_step needs granularity scalar or tensor, got element")
        return self

    @property
    def half_life_of_steps(self) -> tuple[float | None, ...]:
        """One for every step."""
        given = self.half_lives[: self.steps]
        return (None,) * (self.steps - len(given)) + given


COMM = r"none|sparse|fp16|bf16|(?:powersgd|local-sgd):[1-9][0-9]*"
COMM_KINDS = "none, sparse, fp16, bf16, powersgd:RANK, local-sgd:STEPS"


class MetaTrainConfig(Section):
    users_per_batch: int = Field(32, ge=1, description="users sampled a step")
    query_size: int = Field(100, ge=1, description="most query rows a user in training")
    cut: Literal["random", "start"] = Field(
        "start",
        description="where an episode's support ends in the window early to train (warm): at a "
        "random row, or at its start, so that the base models know all of the support",
    )
    epochs: int = Field(10, ge=1, description="most passes over the users")
    patience: int = Field(3, ge=1, description="epochs without a better valid loss before stopping")
    theta_learning_rate: float = Field(
        1e-4, ge=0, description="outer Adam's rate for theta (joint)"
    )
    phi_learning_rate: float = Field(5e-4, ge=0, description="outer Adam's rate for phi")
    alpha_learning_rate: float = Field(5e-2, ge=0, description="outer Adam's rate for alpha")
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="pulls phi, but for its embeddings, towards 0 by this times its rate a step "
        "(AdamW)",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        description="the outer gradients of a step, all together, are shrunk to this Euclidean "
        "norm; null: never",
    )
    comm: str | None = Field(
        None,
        description="how several workers exchange gradients: none (all of them), sparse (of tables "
        "the touched rows alone), fp16, bf16, powersgd:RANK or local-sgd:STEPS; null: sparse",
    )
    rate_bounds: tuple[float, float] | None = Field(
        None, description="least and largest inner learning rate alpha can learn; null: any"
    )

    @field_validator("comm")
    @classmethod
    def _known_comm(cls, comm: str | None) -> str | None:
        if comm is not None and not re.fullmatch(COMM, comm):
            raise ValueError(f"comm: '{comm}' is none of {COMM_KINDS}")
        return comm

    @field_validator("rate_bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and bounds[0] > bounds[1]:
            raise ValueError(f"rate_bounds: the least comes first, got {list(bounds)}")
        return bounds


class EvaluateConfig(Section):
    resamples: int = Field(
        10_000, ge=1, description="user-bootstrap resamples behind intervals and p-values"
    )
    metrics: tuple[str, ...] = Field(
        (), description="plug-ins or functions in files, each a column more of results.csv"
    )

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            if name in METRICS.built_in:
                raise ValueError(f"'{name}' is in the table anyway")
        return tuple(_checked(METRICS, name) for name in metrics)


TABLE_ROWS = (
    "uniform",
    "convex",
    "stacking-logistic",
    "stacking-lightgbm",
    "stacking-lightgbm-features",
    "sample-selector",
    "user-best",
    "user-exponential",
    "user-bias",
    "user-finetuned",
    "metaselector-simplified-maml",
    "metaselector-simplified-first-order-maml",
    "metaselector-simplified",
    "metaselector-maml",
    "metaselector-first-order-maml",
    "metaselector",
    "oracle-sample",
    "oracle-user",
)
"""Rows of the results table that combine base models, in its order."""


def _base_models(described: Mapping[str, Any]) -> dict[str, BaseModelConfig]:
    return {name: BaseModelConfig.model_validate(model) for name, model in described.items()}


class Config(Section):
    """All settings of a run."""

    dataset: str = Field(
        "movielens-100k",
        description="name of the data set, one of those that `metaselector reproduce --help` lists",
    )
    protocol: Literal["warm", "cold"] = Field(
        "warm",
        description="warm: each user's later rows are predicted, of users whose earlier ones base "
        "models are trained on; cold: users that base models have never seen",
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="one run of everything a seed")
    device: str = Field("cpu", description="torch device, such as cpu or cuda")
    threads: int = Field(2, ge=1, description="CPU threads of torch")
    data: DataConfig = Field(default_factory=DataConfig)
    split: SplitConfig = Field(default_factory=SplitConfig)
    cold: ColdConfig = Field(default_factory=ColdConfig)
    base_models: dict[str, BaseModelConfig] = Field(
        default_factory=lambda given: _base_models(default_base_models(given["dataset"])),
        min_length=1,
    )
    transfer: TransferConfig = Field(default_factory=TransferConfig)
    teaching: TeachingConfig = Field(default_factory=TeachingConfig)
    selector: SelectorConfig = Field(default_factory=SelectorConfig)
    adapt: AdaptConfig = Field(default_factory=AdaptConfig)
    meta_train: MetaTrainConfig = Field(default_factory=MetaTrainConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    tracking: tuple[str, ...] = Field(
        (),
        description="who takes down losses and rates beside logs/training.jsonl: tensorboard, "
        "mlflow, wandb, a plug-in, or a class in a file",
    )

    @property
    def percentages(self) -> SplitConfig:
        """Those of the protocol: of each user's rows if it is warm, of the users if it is cold."""
        return self.cold if self.protocol == "cold" else self.split

    @property
    def taught(self) -> tuple[str, ...]:
        """The base models that teach each other; those that are scores take no part."""
        if self.teaching.strategy == "independent":
            return ()
        return tuple(name for name, model in self.base_models.items() if not model.gives_scores)

    @property
    def cold_seed(self) -> int | None:
        """What splits the users; None if they are not."""
        return self.cold.split_seed if self.protocol == "cold" else None

    @field_validator("tracking")
    @classmethod
    def _known(cls, tracking: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_checked(TRACKERS, name) for name in tracking)

    @field_validator("base_models")
    @classmethod
    def _usable_names(cls, models: dict[str, BaseModelConfig]) -> dict[str, BaseModelConfig]:
        # A name becomes a file name, part of a parameter name, and a row of the table.
        for name in models:
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
                raise ValueError(f"'{name}': use letters, digits, _ and - in a base model's name")
            if name in TABLE_ROWS or name.endswith("-train"):
                raise ValueError(f"'{name}' is the name of another row of the results table")
        return models


def load_config(
    path: Path | None = None, overrides: Sequence[str] = (), changes: Mapping[str, Any] = {}
) -> Config:
    """The defaults, changed by a YAML file, then by ``key=value`` overrides, then by `changes`.

    A file's or an override's settings for a base model start from that model's defaults; a file
    that has ``base_models`` thereby also chooses which models there are.

    Args:
        path: a YAML file with any of the settings.
        overrides: ``section.key=value``, the value in YAML.
        changes: nested settings, as from command-line flags.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, or a value impossible.
    """
    layers = [{} if path is None else read_mapping(path)]
    layers += [_override(text) for text in overrides] + [dict(changes)]
    named = [layer["dataset"] for layer in layers if isinstance(layer.get("dataset"), str)]
    start = Config(dataset=named[-1]) if named else Config()
    settings: dict[str, Any] = start.model_dump(mode="json")
    if isinstance(layers[0].get("base_models"), dict):
        settings["base_models"] = {}
    known = {name: model.model_dump(mode="json") for name, model in _base_models(KNOWN).items()}
    for layer in layers:
        _merge(settings, layer, known)
    return _validated(settings)


def _override(text: str) -> dict[str, Any]:
    """``section.key=value`` as nested settings."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: expected KEY=VALUE, such as adapt.steps=3")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"--set {text}: the value is not valid YAML ({problem})") from error
    nested: dict[str, Any] = _nested(key, parsed)
    return nested


def change_config(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with other values of the settings whose dotted names are the keys of `changes`.

    Raises:
        ConfigError: a key is unknown, or a value impossible.
    """
    settings = config.model_dump(mode="json")
    for key, value in changes.items():
        _merge(settings, _nested(key, value), {})
    return _validated(settings)


def _nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _validated(settings: Mapping[str, Any]) -> Config:
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _merge(
    settings: dict[str, Any], given: Mapping[str, Any], known_models: Mapping[str, Any]
) -> None:
    """Lay `given` over `settings`, section by section."""
    for key, value in given.items():
        if key == "base_models" and isinstance(value, dict):
            models = settings.setdefault(key, {})
            for name, model in value.items():
                models.setdefault(name, copy.deepcopy(known_models.get(name, {})))
                _merge(models, {name: model or {}}, {})
        elif isinstance(value, Mapping) and isinstance(settings.get(key), dict):
            _merge(settings[key], value, {})
        else:
            settings[key] = value


def _explain(error: ValidationError) -> str:
    """The first problem in one line, with the nearest valid key where a key is unknown."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        section = _section(location[:-1])
        return f"{key}: unknown setting; {nearest(location[-1], section.model_fields)}"
    return f"{key or 'config'}: {first['msg']} (got {first['input']!r})"


def _section(location: Sequence[str]) -> type[BaseModel]:
    """The model class that holds the settings at `location`."""
    section: type[BaseModel] = Config
    parts = list(location)
    while parts:
        part = parts.pop(0)
        if section is Config and part == "base_models":
            section = BaseModelConfig
            parts = parts[1:]  # the model's name
        else:
            annotation = section.model_fields[part].annotation
            if annotation == ScoresConfig | None:
                annotation = ScoresConfig
            assert isinstance(annotation, type)
            section = annotation
    return section


def documented_yaml(config: Config) -> str:
    """`config` as YAML with every setting's meaning as a comment."""
    lines: list[str] = []

    def write(model: BaseModel, indent: str) -> None:
        for name, info in type(model).model_fields.items():
            value = getattr(model, name)
            if isinstance(value, BaseModel):
                lines.append(f"{indent}{name}:")
                write(value, indent + "  ")
            elif name == "base_models":
                lines.append(f"{indent}{name}:")
                for model_name, base_model in value.items():
                    lines.append(f"{indent}  {model_name}:")
                    write(base_model, indent + "    ")
            else:
                lines.append(f"{indent}{name}: {_inline(value)}{_comment(info)}")

    write(config, "")
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("\n...\n").strip()


def _comment(info: FieldInfo) -> str:
    return f"  # {info.description}" if info.description else ""
