"""The tables of an analysis on one page, with what they mean."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from metaselector.common.files import write_text
from metaselector.report.figures.analysis import MEND
from metaselector.report.inputs import read_command, read_table
from metaselector.report.markdown import code, escaped, table_row


class _Table(NamedTuple):
    """A table of the page: a line for every combination of `keys`, averaged over seeds.

    Attributes:
        name: the file, without its suffix.
        keys: columns that name a line.
        columns: of the other columns shown, title and format by name; shares in percent.
    """

    name: str
    keys: tuple[str, ...]
    columns: dict[str, tuple[str, str]]


class _Section(NamedTuple):
    """A heading, what is below it, and the pictures that belong to it."""

    title: str
    text: str
    tables: tuple[_Table, ...]
    figures: tuple[str, ...] = ()


_SECTIONS = (
    _Section(
        "Which base model is best, and for how long",
        "A user's best base model has the lowest mean logloss on their rows of a window; its "
        "advantage is the mean of all base models' logloss there minus its own. Models fitted on "
        "*train* predict *valid* and *test*, those fitted on *train+valid* predict *test*. *Kept* "
        "is the share of users whose best model is the same on *valid* and on *test*, *chance* "
        "what independent choices with the same shares would give, Cohen's kappa (kept − chance) "
        "/ (1 − chance). Kappa and rank correlations near 0 mean that who is best on *valid* says "
        "little about *test*: counts of users then show noise, not lasting taste.",
        (
            _Table(
                "best_models",
                ("window", "fitted_on", "model"),
                {"users": ("users", "{:.0f}"), "share": ("share %", "{:.1%}")},
            ),
            _Table(
                "stability",
                ("fitted_on",),
                {
                    "users": ("users", "{:.0f}"),
                    "kept": ("kept %", "{:.1%}"),
                    "chance": ("chance %", "{:.1%}"),
                    "kappa": ("kappa", "{:+.3f}"),
                },
            ),
            _Table(
                "correlation",
                ("fitted_on", "model"),
                {"spearman": ("rank correlation", "{:+.3f}")},
            ),
        ),
        ("figures/confusion.png", "figures/stability.png"),
    ),
    _Section(
        "How selectors weigh",
        "Weights over the rows of *test* (mean, standard deviation, quantiles), and how even they "
        "are: the entropy of a row's weights over its maximum log K, averaged over a user's rows, "
        "then over users. 0 is all weight on one base model, 1 the same on each.",
        (
            _Table(
                "weights",
                ("model", "base_model"),
                {
                    name: (title, "{:.3f}")
                    for name, title in {
                        "mean": "mean",
                        "std": "std",
                        "q05": "5 %",
                        "q50": "median",
                        "q95": "95 %",
                    }.items()
                },
            ),
            _Table("entropy", ("model",), {"entropy": ("mean entropy of users", "{:.3f}")}),
        ),
        ("../figures/weights.png", "figures/entropy.png"),
    ),
    _Section(
        "Where combinations win",
        "Logloss of the best single model on *valid* (*baseline*) minus that of the row: above 0 "
        "the row is better. Rows are in quantile bins of what is known before *test*; bins of a "
        "user's facts hold the same number of users, those of the item the same number of rows, "
        "but for ties. Intervals are 95 %, by bootstrap over the users of the bin, not corrected "
        "for their number. *history_rows*: the user's rows before *test*. *rows_per_active_day*: "
        "those over the days (UTC) that have any. *drift*: absolute change of the user's share of "
        "positives from *train* to *valid*, which is noisier for users with few rows. "
        "*item_train_rows*: rows of the item in *train*. The simple row shown is the one that does "
        "best on *test*, which favours it.",
        (
            _Table(
                "breakdown",
                ("baseline", "fact", "from", "to", "model"),
                {
                    "users": ("users", "{:.0f}"),
                    "rows": ("rows", "{:.0f}"),
                    "improvement": ("logloss saved", "{:+.4f}"),
                    "low": ("95 % from", "{:+.4f}"),
                    "high": ("95 % to", "{:+.4f}"),
                },
            ),
        ),
        ("figures/breakdown.png",),
    ),
    _Section(
        "Learned inner rates",
        "Rates of the epoch that was kept, over the tensors of a group; a rate below 0 steps away "
        "from the support's optimum.",
        (
            _Table(
                "rates",
                ("model", "group"),
                {
                    "parameters": ("tensors", "{:.0f}"),
                    "mean": ("mean", "{:.3f}"),
                    "low": ("lowest", "{:.3f}"),
                    "high": ("highest", "{:.3f}"),
                },
            ),
        ),
        ("../figures/learned_rates.png",),
    ),
    _Section(
        "Other numbers of inner steps",
        "The same learned parameters and rates with other numbers of inner steps when predicting "
        "*test*; *in training* is the number they were learned with. For understanding, not for "
        "choosing: a number picked here would be tuned on *test*.",
        (
            _Table(
                "steps",
                ("model", "steps"),
                {
                    "trained_steps": ("in training", "{:.0f}"),
                    "auc": ("AUC", "{:.4f}"),
                    "logloss": ("logloss", "{:.4f}"),
                },
            ),
        ),
        ("figures/inner_steps.png",),
    ),
    _Section(
        "Calibration",
        "ECE: mean over rows of |observed − predicted share of positives| of the row's bin, in "
        "bins of equal numbers of rows. Even a perfectly calibrated model has an ECE above 0, from "
        "chance. Slope and intercept are those of the logistic regression of the label on the "
        "logit of the prediction: 1 and 0 where it is calibrated, a slope below 1 where "
        "predictions are too extreme. Oracles have seen the answers.",
        (
            _Table(
                "calibration",
                ("model",),
                {
                    "bins": ("bins", "{:.0f}"),
                    "ece": ("ECE", "{:.4f}"),
                    "slope": ("slope", "{:.3f}"),
                    "intercept": ("intercept", "{:+.3f}"),
                },
            ),
        ),
        ("figures/calibration.png",),
    ),
    _Section(
        "Simplified and joint at equal cost",
        "Wall-clock seconds of meta-training, each epoch with its validation; both start from the "
        "same sample-level selector and base models, whose training is not counted. The budget is "
        "the time after which the first of the variants stopped, *in budget* the best logloss on "
        "*valid* until then. Times are of one machine, and of whatever else it did.",
        (
            _Table(
                "cost",
                ("model",),
                {
                    "budget": ("budget s", "{:.1f}"),
                    "loss_in_budget": ("in budget", "{:.5f}"),
                    "best_loss": ("best", "{:.5f}"),
                    "seconds_to_best": ("s to best", "{:.1f}"),
                    "seconds": ("s in all", "{:.1f}"),
                },
            ),
        ),
        ("figures/cost.png",),
    ),
)
NOTHING = "Nothing to show for this run."


def write_analysis_summary(run_dir: Path) -> Path:
    """Write ``analysis/summary.md`` from the tables of ``analysis/``.

    Returns:
        The file written.

    Raises:
        DataError: a table or ``environment.json`` is missing or damaged.
    """
    directory = run_dir / "analysis"
    command = shlex.join(["metaselector", "analyse", "--run", str(run_dir)])
    made_by = read_command(run_dir / "environment.json")
    parts = [
        "# Analysis",
        f"Command: {code(command)}, of a run made by {code(made_by)}. "
        "Several seeds: mean ± standard deviation over seeds.",
    ]
    for section in _SECTIONS:
        parts += [f"## {section.title}", section.text]
        for table in section.tables:
            path = directory / f"{table.name}.csv"
            frame = read_table(path, (*table.keys, *table.columns), MEND)
            parts += [_markdown(frame, table) if len(frame) else NOTHING]
            parts += [f"<sub>[{path.name}]({path.name})</sub>"]
        for image in section.figures:
            if (directory / image).exists():
                parts.append(f"![{section.title}]({image})")
    path = directory / "summary.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def _markdown(frame: pd.DataFrame, table: _Table) -> str:
    keys = list(table.keys)
    values = frame[list(table.columns)]
    by_seed = values.groupby([frame[key] for key in (*keys, "seed") if key in frame], sort=False)
    groups = by_seed.mean().groupby(level=keys, sort=False)
    means, stds = groups.mean(), groups.std()
    rows = [[*keys, *(title for title, _ in table.columns.values())]]
    rows.append(["---"] * len(keys) + ["---:"] * len(table.columns))
    patterns = [pattern for _, pattern in table.columns.values()]
    lines = means.index.to_frame().itertuples(index=False)
    for names, mean, std in zip(lines, means.to_numpy(), stds.to_numpy(), strict=True):
        rows.append(
            [f"{name:.4g}" if isinstance(name, float) else escaped(str(name)) for name in names]
            + [_cell(*cell) for cell in zip(mean, std, patterns, strict=True)]
        )
    return "\n".join(map(table_row, rows))


def _cell(mean: float, std: float, pattern: str) -> str:
    if math.isnan(mean):
        return ""
    text = pattern.format(mean).removesuffix("%")
    if math.isnan(std) or std == 0:
        return text
    return f"{text} ± {pattern.replace('+', '').format(std).removesuffix('%')}"
