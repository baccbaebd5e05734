"""The card of a model: what it was trained on, how well it does, and what it is not for."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from metaselector.common import __version__
from metaselector.common.errors import DataError, UserError
from metaselector.common.files import write_text
from metaselector.data import registry
from metaselector.data.microseconds import as_text
from metaselector.data.preparation.origin import load_origin
from metaselector.inference.trained import TrainedModel
from metaselector.report.as_json import as_text as as_json_text
from metaselector.report.as_json import run_results
from metaselector.runs.environment import ENVIRONMENT, package_versions
from metaselector.runs.run import Run

CARD, CARD_DATA = "MODEL_CARD.md", "model_card.json"
METRICS = ("auc", "logloss", "gauc")


@dataclass(frozen=True)
class ModelCard:
    """What to know of a trained model before using it.

    Attributes:
        model: the row of the results table, the seed, and how it adapts.
        base_models: what each is, and its options.
        data: name, size, times, licence and SHA-256 of the data it was trained on.
        protocol: how rows were split.
        metrics: on *test*, one entry per folder of results; empty if the run was not evaluated.
        differences: of the logloss to other rows of the table, with 95 % intervals.
        limits: one sentence each.
        versions: of this package, Python and the packages it uses.
    """

    model: dict[str, Any]
    base_models: dict[str, Any]
    data: dict[str, Any]
    protocol: dict[str, Any]
    metrics: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    limits: list[str]
    versions: dict[str, str]

    @classmethod
    def of_run(cls, trained: TrainedModel, run: Run) -> Self:
        """The card of a model trained by `run`.

        Raises:
            DataError: a table of the run is damaged.
        """
        config, encoder = trained.config, trained.encoder
        data = _data(trained, run)
        results = _results(run, data["sha256"])
        mine = trained.variant
        return cls(
            model={
                "variant": mine,
                "seed": trained.seed,
                "tasks": list(encoder.schema.tasks),
                "inner_rule": config.adapt.rule,
                "inner_steps": trained.adaptation.steps,
                "support_rows": trained.support_size,
            },
            base_models={
                name: {
                    "model": settings.model or settings.estimator or name,
                    "options": dict(settings.options),
                }
                for name, settings in config.base_models.items()
            },
            data=data,
            protocol={
                "name": config.protocol,
                "windows": dict(
                    zip(("early", "train", "valid"), encoder.schema.windows, strict=True)
                ),
            },
            metrics=[
                {"folder": row["folder"], **{name: row[name] for name in METRICS}}
                for row in results["results"]
                if row["model"] == mine and row["seed"] == trained.seed
            ],
            differences=[
                {key: row[key] for key in ("folder", "baseline", "difference", "low", "high")}
                for row in results["differences"]
                if row["model"] == mine and row["metric"] == "logloss" and row["low"] is not None
            ],
            limits=list(_limits(trained, run)),
            versions={
                "metaselector": __version__,
                "python": platform.python_version(),
                **package_versions(),
            },
        )

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The card in the directory of a saved model.

        Raises:
            UserError: there is none, or it is damaged.
        """
        path = directory / CARD_DATA
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise UserError(f"{path}: no model card; save the model again") from error
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error}); save the model again") from error

    def write(self, directory: Path) -> None:
        """Write the card into a directory, as Markdown and as JSON."""
        write_text(directory / CARD, self.markdown())
        write_text(directory / CARD_DATA, as_json_text(asdict(self)))

    def markdown(self) -> str:
        """The card as a page."""
        return "\n".join(_page(self)) + "\n"


def _data(trained: TrainedModel, run: Run) -> dict[str, Any]:
    dataset, origin = run.dataset, load_origin(run.data_directory)
    times = {}
    if not trained.encoder.rows.tabular:
        first, last = int(dataset.timestamps.min()), int(dataset.timestamps.max())
        times = {"first_time": as_text(first), "last_time": as_text(last)}
    return {
        "name": dataset.schema.dataset if origin is None else origin.title,
        "rows": len(dataset),
        "users": len(dataset.user_names),
        **times,
        "licence": registry.dataset(run.config.dataset).licence,
        "sha256": dataset.digest(),
    }


def _results(run: Run, digest: str) -> dict[str, Any]:
    """The tables of a run; none if it was not evaluated, or on other data."""
    nothing: dict[str, Any] = {"results": [], "differences": []}
    try:
        made_with = json.loads((run.directory / ENVIRONMENT).read_text(encoding="utf-8"))
        if made_with["data_sha256"] != digest:
            return nothing
    except FileNotFoundError:
        pass  # evaluated from Python, which writes no such file
    except (OSError, ValueError, KeyError, TypeError):
        return nothing
    folders = {
        run.directory / task / split.folder
        for task in run.task_folders
        for split in run.protocol.evaluation_splits
    }
    try:
        return run_results(run.directory, sorted(folders), ())
    except DataError:
        return nothing


def _limits(trained: TrainedModel, run: Run) -> Iterator[str]:
    config = trained.config
    yield (
        "The numbers hold for rows like those of the test window: the same users or kind of users, "
        "items and time. Measure again before using it on others."
    )
    origin = load_origin(run.data_directory)
    if origin is not None:
        yield origin.limit
    if config.protocol == "warm":
        yield (
            "Base models were trained on rows of other users that are later than the rows they "
            "predict in the table; the protocol global does without."
        )
    if config.protocol != "cold":
        yield "The numbers are of known users; new users were not measured."
    yield "Users with few rows gain less: support_curve.csv of the run has the numbers by rows."
    yield (
        "Probabilities are of the label as logged, which follows what users were shown. Fairness "
        "between groups of users or items was not measured."
    )
    if "co-residuals" in config.adapt.residuals.similarities and config.adapt.residuals.enabled:
        yield (
            "The model holds a number per training user (the mean residual, unnamed) and the names "
            "of users and items with their features; treat it like the data."
        )
    else:
        yield (
            "The model holds the names of users and items with their features; treat it like the "
            "data."
        )


def _page(card: ModelCard) -> Iterator[str]:
    model, data = card.model, card.data
    yield f"# Model card: {model['variant']} on {data['name']}"
    yield ""
    yield (
        f"Predicts the probability of {' and '.join(model['tasks'])} for a row of a user, by "
        f"mixing {', '.join(card.base_models)}, adapted in {model['inner_steps']} steps of "
        f"{model['inner_rule']} to at most {model['support_rows']} of the user's most recent rows. "
        f"Seed {model['seed']}."
    )
    yield from ("", "## Data", "")
    for key, value in data.items():
        shown = f"{value:,}" if isinstance(value, int) else value
        yield f"- {key.replace('_', ' ')}: {shown}"
    ends = ", ".join(f"{name} until {end} %" for name, end in card.protocol["windows"].items())
    yield f"- protocol: {card.protocol['name']} ({ends}, test after that)"
    yield from ("", "## Base models", "")
    for name, about in card.base_models.items():
        options = ", ".join(f"{key} = {value}" for key, value in about["options"].items())
        yield f"- {name}: {about['model']}{f' ({options})' if options else ''}"
    yield from ("", "## Metrics", "")
    yield from _metrics(card)
    yield from ("", "## Limits", "")
    yield from (f"- {limit}" for limit in card.limits)
    yield from ("", "## Versions", "")
    yield ", ".join(f"{name} {version}" for name, version in card.versions.items())


def _metrics(card: ModelCard) -> Iterator[str]:
    if not card.metrics:
        yield "Not measured. Run `metaselector evaluate` on its run, then save it again."
        return
    yield "On the test window:"
    yield ""
    yield "| table | AUC | logloss | GAUC |"
    yield "| --- | ---: | ---: | ---: |"
    for row in card.metrics:
        cells = ["" if row[name] is None else f"{row[name]:.4f}" for name in METRICS]
        yield f"| {row['folder']} | {' | '.join(cells)} |"
    if card.differences:
        yield ""
        yield "Difference in logloss, this model minus another row (all seeds of the run together):"
        yield ""
        yield "| table | other row | difference | 95 % interval |"
        yield "| --- | --- | ---: | ---: |"
    for row in card.differences:
        yield (
            f"| {row['folder']} | {row['baseline']} | {row['difference']:+.4f} | "
            f"{row['low']:+.4f} to {row['high']:+.4f} |"
        )
