"""What the page of an analysis shows: sections, their explanations, tables and figures."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """A table of the page: one line per combination of `keys`, averaged over seeds.

    Attributes:
        name: file name without its suffix.
        keys: columns that identify a line.
        columns: title and format of every other column shown, by name; shares are in percent.
    """

    name: str
    keys: tuple[str, ...]
    columns: dict[str, tuple[str, str]]


class Section(NamedTuple):
    """A heading with its text, tables and figures."""

    title: str
    text: str
    tables: tuple[Table, ...]
    figures: tuple[str, ...] = ()


_FORMATS = {
    "users": ("users", "{:.0f}"),
    "rows": ("rows", "{:.0f}"),
    "share": ("share %", "{:.1%}"),
    "kept": ("kept %", "{:.1%}"),
    "chance": ("chance %", "{:.1%}"),
    "kappa": ("kappa", "{:+.3f}"),
    "spearman": ("rank correlation", "{:+.3f}"),
    "mean": ("mean", "{:.3f}"),
    "std": ("std", "{:.3f}"),
    "q05": ("5 %", "{:.3f}"),
    "q50": ("median", "{:.3f}"),
    "q95": ("95 %", "{:.3f}"),
    "entropy": ("mean entropy of users", "{:.3f}"),
    "improvement": ("logloss saved", "{:+.4f}"),
    "parameters": ("tensors", "{:.0f}"),
    "trained_steps": ("in training", "{:.0f}"),
    "auc": ("AUC", "{:.4f}"),
    "logloss": ("logloss", "{:.4f}"),
    "bins": ("bins", "{:.0f}"),
    "ece": ("ECE", "{:.4f}"),
    "slope": ("slope", "{:.3f}"),
    "intercept": ("intercept", "{:+.3f}"),
    "budget": ("budget s", "{:.1f}"),
    "loss_in_budget": ("in budget", "{:.5f}"),
    "best_loss": ("best", "{:.5f}"),
    "seconds_to_best": ("s to best", "{:.1f}"),
    "seconds": ("s in all", "{:.1f}"),
}
"""Title and format by column."""


def _table(name: str, keys: str, columns: str, **formats: tuple[str, str]) -> Table:
    """A table; `keys` and `columns` are separated by spaces, `formats` replace the usual ones."""
    shown = _FORMATS | formats
    return Table(name, tuple(keys.split()), {column: shown[column] for column in columns.split()})


SECTIONS = (
    Section(
        "Best base model per user, and how stable it is",
        "A user's best base model has the lowest mean logloss on the user's rows of a window. Its "
        "advantage is the mean logloss of all base models on these rows minus its own. Models "
        "fitted on *train* predict *valid* and *test*, models fitted on *train+valid* predict "
        "*test*. *Kept* is the share of users with the same best model on *valid* and *test*, "
        "*chance* the share expected from independent choices with the same marginals, and Cohen's "
        "kappa is (kept − chance) / (1 − chance). Kappa and rank correlations near 0 mean that the "
        "best model on *valid* says little about *test*: the counts of users then show noise, not "
        "lasting preferences.",
        (
            _table("best_models", "window fitted_on model", "users share"),
            _table("stability", "fitted_on", "users kept chance kappa"),
            _table("correlation", "fitted_on model", "spearman"),
        ),
        ("figures/confusion.png", "figures/stability.png"),
    ),
    Section(
        "Selector weights",
        "Distribution of the weights over the rows of *test*: mean, standard deviation, quantiles. "
        "The normalised entropy is the entropy of a row's weights divided by its maximum, log K, "
        "averaged over a user's rows and then over users: 0 means all weight on one base model, 1 "
        "equal weights.",
        (
            _table("weights", "model base_model", "mean std q05 q50 q95"),
            _table("entropy", "model", "entropy"),
        ),
        ("../figures/weights.png", "figures/entropy.png"),
    ),
    Section(
        "Where combinations win",
        "Logloss of the best single model on *valid* (*baseline*) minus logloss of the row; above "
        "0, the row is better. Test rows are grouped into quantile bins of facts that are known "
        "before *test*. Apart from ties, bins of a user's fact hold equal numbers of users, and "
        "bins of the item's fact equal numbers of rows. Intervals are 95 %, by bootstrap over the "
        "users of the bin, without correction for multiple comparisons. *history_rows*: the user's "
        "rows before *test*. *rows_per_active_day*: these rows divided by the number of days (UTC) "
        "with at least one. *drift*: absolute change of the user's share of positives from *train* "
        "to *valid*, which is noisier for users with few rows. *item_train_rows*: rows of the item "
        "in *train*. Of the simple combiners, the table shows the one that does best on *test*, "
        "which favours it.",
        (
            _table(
                "breakdown",
                "baseline fact from to model",
                "users rows improvement low high",
                low=("95 % from", "{:+.4f}"),
                high=("95 % to", "{:+.4f}"),
            ),
        ),
        ("figures/breakdown.png",),
    ),
    Section(
        "Learned inner rates",
        "Inner learning rates of the best epoch, over the tensors of a group. A negative rate "
        "moves away from the optimum of the support set. Groups such as *support: half life* are "
        "the other numbers that meta-training learned.",
        (
            _table(
                "rates",
                "model group",
                "parameters mean low high",
                low=("lowest", "{:.3f}"),
                high=("highest", "{:.3f}"),
            ),
        ),
        ("../figures/learned_rates.png",),
    ),
    Section(
        "Other numbers of inner steps",
        "Results on *test* with the same learned parameters and rates, but other numbers of inner "
        "steps; *in training* is the number used in meta-training. Use this table to understand "
        "the model, not to choose a number: that would be tuning on *test*.",
        (_table("steps", "model steps", "trained_steps auc logloss"),),
        ("figures/inner_steps.png",),
    ),
    Section(
        "Calibration",
        "ECE (expected calibration error): mean over rows of |observed − predicted share of "
        "positives| in the row's bin, with equal numbers of rows in all bins. By chance, even a "
        "perfectly calibrated model has an ECE above 0. Slope and intercept are those of a "
        "logistic regression of the label on the logit of the prediction: 1 and 0 for a calibrated "
        "model; a slope below 1 means that predictions are too extreme. Oracles have seen the "
        "labels.",
        (_table("calibration", "model", "bins ece slope intercept"),),
        ("figures/calibration.png",),
    ),
    Section(
        "Simplified and joint at equal cost",
        "Wall-clock seconds of meta-training, including validation after every epoch. Both "
        "variants start from the same sample-level selector and base models, whose training is not "
        "counted. The budget is the time at which the first variant stopped, and *in budget* is "
        "the best logloss on *valid* until then. Times depend on the machine and its load.",
        (_table("cost", "model", "budget loss_in_budget best_loss seconds_to_best seconds"),),
        ("figures/cost.png",),
    ),
)
