"""What adaptation gains for users with few rows: test logloss by number of support rows.

The models of a finished run predict the test window; each user adapts on the n most recent rows of
their support. Models, histories and predicted rows are the same for every n.

    python -m benchmarks.few_rows --run runs/movielens-100k
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import command
from metaselector.common.files import write_text
from metaselector.config import load_config
from metaselector.data.splitting.episodes import NO_ROW, EpisodeRows
from metaselector.evaluate.metrics import auc
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run

SIZES = (0, 1, 2, 3, 5, 10, 20, 40)
VARIANTS: tuple[Variant, ...] = ("metaselector", "metaselector-simplified", "user-finetuned")

app = command.new_app()


def most_recent(episodes: EpisodeRows, n: int) -> EpisodeRows:
    """The same episodes with only the `n` most recent support rows of each user."""
    support = episodes.support[:, max(episodes.support.shape[1] - n, 0) :]  # [U, min(n, S)]
    if n == 0:
        support = np.full((len(support), 1), NO_ROW)
    return replace(episodes, support=support)


def measured(run: Run, variant: Variant, seed: int) -> list[dict[str, float]]:
    """Test logloss and AUC of a variant for each support size that the run's support reaches."""
    model, evaluation_split = (
        run.checkpoints.load_adapted(variant, seed),
        run.protocol.evaluation_splits[-1],
    )
    found = []
    for n in (size for size in SIZES if size <= evaluation_split.test.support.shape[1]):
        episodes = most_recent(evaluation_split.test, n)
        made = model.predict(run.dataset, episodes)
        y = run.dataset.labels[made.rows].astype(np.float64)
        found.append({"rows": n, "logloss": made.loss(), "auc": auc(y, made.probabilities)})
    return found


def page(run: Run, seed: int, found: dict[str, list[dict[str, float]]]) -> str:
    """The figures as a Markdown table with a row per model and a column per support size."""
    sizes = [f"{line['rows']:.0f}" for line in next(iter(found.values()))]
    rows = [
        " | ".join(["", name, *(f"{line['logloss']:.4f}" for line in lines), ""]).strip()
        for name, lines in found.items()
    ]
    return "\n".join(
        [
            "# Test logloss by the number of support rows",
            "",
            " | ".join(["| support rows", *sizes, ""]).rstrip(),
            "| --- |" + " ---: |" * len(sizes),
            *rows,
            "",
            f"{run.config.dataset}, seed {seed}; trained with up to "
            f"{run.config.adapt.support_size} support rows. `python -m benchmarks.few_rows`",
            "",
        ]
    )


@app.command()
def main(
    run: Annotated[Path, typer.Option(help="Directory of a finished run.")] = Path(
        "runs/movielens-100k"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the models.")] = 0,
    output: command.OutputOption = Path("benchmarks/results/few-rows"),
) -> None:
    """Measure adaptation on the 0, 1, 2, … most recent support rows of each user."""
    opened = Run(run, load_config(run / "config.yaml"))
    found = {str(variant): measured(opened, variant, seed) for variant in VARIANTS}
    text = page(opened, seed, found)
    write_text(output / "few_rows.json", json.dumps(found, indent=1) + "\n")
    write_text(output / "few_rows.md", text)
    print(text)


if __name__ == "__main__":
    command.run(app)
