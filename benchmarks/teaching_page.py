"""The Markdown page about strategies of training base models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.teaching_metrics import BASE, METRICS
from metaselector.runs.run import Run

TITLES = {"all": "All rows", "few": "A tenth of the rows before test"}
LOWER_IS_BETTER = {"logloss"}
NUMBERS = ["value", "sd", "difference", "low", "high"]
NAMES = {"auc": "AUC", "logloss": "logloss", "accuracy": "accuracy", "recall": "recall", "f1": "F1"}


def convergence(run: Run, labels: str) -> pd.DataFrame:
    """Rounds of co-training the models of *train*: a row per round, model and seed."""
    records = []
    for seed in run.config.seeds:
        for name in run.config.taught:
            made = run.checkpoints.base_record(name, "train", seed)
            lines = pd.DataFrame(made.history)
            if "round" not in lines:
                continue
            kept = lines.loc[lines["epoch"] == made.epochs, "round"].iloc[0]
            for number, of_round in lines.groupby("round"):
                records.append(
                    {
                        "labels": labels,
                        "seed": seed,
                        "model": name,
                        "round": number,
                        "pairs": of_round["pairs"].iloc[0],
                        "agreement": of_round["agreement"].iloc[0],
                        "epochs": len(of_round),
                        "valid_loss": of_round["valid_loss"].min(),
                        "kept": number == kept,
                    }
                )
    return pd.DataFrame(records)


def page(
    compared: pd.DataFrame,
    rounds: pd.DataFrame,
    made: Mapping[tuple[str, str], Run],
    command: str,
) -> str:
    """The set-up, the outcome in words, the tables, and the rounds of co-training."""
    first = made["all", BASE].config
    joint = compared.loc[compared["model"] == "metaselector", "seeds"].max()
    lines = [
        "## Base models that teach each other",
        "",
        f"MovieLens-100K, known users. Mean ± standard deviation over {len(first.seeds)} seed(s); "
        f"for metaselector over {joint}. "
        "Δ: difference from independent, with the 95 % interval of the paired bootstrap over users "
        f"({first.evaluate.resamples:,} resamples, mean over the seeds). Intervals reflect which "
        "users were sampled and are not corrected for the number of rows in the table. Bold: the "
        "interval excludes 0. Accuracy, recall and F1 use a threshold of 0.5. metaselector is "
        "joint MetaSelector on top of the base models above it. A tenth: from each user's rows "
        "before the last tenth, one in ten was drawn, once, to train, validate and adapt on; test "
        "is the last tenth as usual, plus one or two rows for users with few rows. The settings of "
        "teaching were chosen on valid with seed 0. Co-training that keeps round 0 has learned "
        "from no pair and differs from independent only in the order of rows, which shows the size "
        "of chance differences.",
        "",
        f"Command: `{command}`",
        "",
    ]
    for labels in dict.fromkeys(compared["labels"]):
        run = made[labels, BASE]
        train, tested = len(run.protocol.fitting_rows("full")), len(_tested(run))
        lines += [
            f"### {TITLES[labels]} ({train:,} for training and validation, {tested:,} to predict)",
            "",
            in_words(compared[compared["labels"] == labels]),
            "",
            *_table(compared[compared["labels"] == labels]),
            "",
        ]
    return "\n".join([*lines, *_rounds(rounds)]) + "\n"


def _tested(run: Run) -> pd.Index:
    (evaluation_split,) = run.protocol.evaluation_splits
    return pd.Index(evaluation_split.test.flat("query")[0])


def in_words(compared: pd.DataFrame) -> str:
    """Which models are better or worse beyond chance, for each strategy and metric."""
    sentences = []
    for strategy in dict.fromkeys(compared["strategy"]):
        if strategy == BASE:
            continue
        of = compared[compared["strategy"] == strategy]
        said = []
        for metric in METRICS:
            sign = -1 if metric in LOWER_IS_BETTER else 1
            some = of[of["metric"] == metric]
            better = some[(sign * some["low"] > 0) & (sign * some["high"] > 0)]["model"]
            worse = some[(sign * some["low"] < 0) & (sign * some["high"] < 0)]["model"]
            parts = [f"better: {', '.join(better)}"] if len(better) else []
            parts += [f"worse: {', '.join(worse)}"] if len(worse) else []
            said.append(f"{NAMES[metric]} {' and '.join(parts) or 'no difference'}")
        sentences.append(f"**{strategy}**: {'; '.join(said)}.")
    return " ".join(sentences)


def _table(compared: pd.DataFrame) -> list[str]:
    lines = [
        "| model | trained | " + " | ".join(f"{NAMES[m]} | Δ" for m in METRICS) + " |",
        "|---|---|" + "---:|---:|" * len(METRICS),
    ]
    for (model, strategy), of_line in compared.groupby(["model", "strategy"], sort=False):
        cells = [str(model), str(strategy)]
        for value, sd, change, low, high in of_line[NUMBERS].to_numpy(dtype=np.float64):
            cells.append(f"{value:.4f}" + (f" ± {sd:.4f}" if of_line["seeds"].max() > 1 else ""))
            shown = f"{change:+.4f} [{low:+.4f}, {high:+.4f}]"
            sure = low > 0 or high < 0
            cells.append("" if strategy == BASE else f"**{shown}**" if sure else shown)
        lines.append(f"| {' | '.join(cells)} |")
    return _by_model(lines)


def _by_model(lines: list[str]) -> list[str]:
    """Group the lines by model, models in the order of the table."""
    head, body = lines[:2], lines[2:]
    order = list(dict.fromkeys(line.split(" | ")[0] for line in body))
    return head + sorted(body, key=lambda line: order.index(line.split(" | ")[0]))


def _rounds(rounds: pd.DataFrame) -> list[str]:
    lines = [
        "### Rounds of co-training",
        "",
        "Base models of *train*; means over seeds and models. Rounds that only some seeds reached "
        "are means over those seeds. Pairs: pairs that a model learned from besides its rows. "
        "Agreement: share of the pairs drawn before the round that both models rate as likely, or "
        "both as unlikely. Kept: number of seeds whose best round this was.",
        "",
        "| labels | round | seeds | pairs | agreement | epochs | valid logloss | kept |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (labels, number), of in rounds.groupby(["labels", "round"], sort=False):
        agreement = of["agreement"].mean()
        lines.append(
            f"| {labels} | {number} | {of['seed'].nunique()} | {of['pairs'].mean():,.0f} | "
            f"{'' if pd.isna(agreement) else f'{agreement:.3f}'} | {of['epochs'].mean():.1f} | "
            f"{of['valid_loss'].mean():.4f} | {of[of['kept']]['seed'].nunique()} |"
        )
    return lines
