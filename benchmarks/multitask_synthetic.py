"""The value of gates and experts as tasks become less related: MMoE's synthetic study.

    python -m benchmarks.multitask_synthetic

writes ``benchmarks/results/multitask-synthetic/``. Source: Ma et al., KDD 2018, section 3.2 and
Figure 4, with the tasks of :mod:`benchmarks.correlated_tasks`: 100 inputs, 8 experts of 16 units,
towers of 8 units, and models with equal numbers of parameters. Each seed has a different world and
initialisation; all models of a seed see the same rows, each row once.

Deviations: 10 seeds instead of 200 runs, the loss is measured on new rows, means over seeds are
geometric, and PLE is added. The paper does not state steps, batch size and learning rate.
Shared-Bottom is widened to match *all* parameters of MMoE, including gates and biases.

Base models read embeddings. Here each input is a field with one slot whose value is the input, and
:class:`Numbers` replaces the table, so the model reads the 100 numbers directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from base_models import PLE, MMoE, MultiTaskModel, SharedBottom, Task
from benchmarks.command import OutputOption, new_app, run
from benchmarks.correlated_tasks import INPUTS, TASKS, World, label_correlation
from metaselector.common.files import write_text
from metaselector.report.figures import style
from metaselector.runs import environment

CORRELATIONS = (0.5, 0.9, 1.0)
MODELS: dict[str, tuple[Callable[..., MultiTaskModel], dict[str, Any]]] = {
    "Shared-Bottom": (SharedBottom, {"bottom_sizes": (126,)}),
    "MMoE": (MMoE, {"experts": 8, "expert_sizes": (16,)}),
    "PLE": (PLE, {"task_experts": 2, "shared_experts": 3, "expert_sizes": (16,)}),
}
TOWER_SIZES = (8,)
LEARNING_RATES = {"Shared-Bottom": 0.01, "MMoE": 0.003, "PLE": 0.003}
"""The better of 0.003 and 0.01 at correlation 0.5, on seeds 100 to 103.

0.001 for Shared-Bottom and MMoE, and 0.03 for Shared-Bottom, were worse.
"""
BATCH_SIZE = 128
TEST_ROWS = 2000
CHECKS = 30
"""Number of times that the loss is measured."""
LEVEL = 0.95
OUTPUT = Path("benchmarks/results/multitask-synthetic")

app = new_app()


class Numbers(nn.Module):
    """Replaces a table: the embedding of a field with one slot is its value."""

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        """``[..., F]`` to ``[..., F, 1]``."""
        return values.unsqueeze(-1)


def new_model(name: str, seed: int) -> MultiTaskModel:
    """One of :data:`MODELS`, reading the values of its slots only."""
    model, options = MODELS[name]
    tasks = [Task(numeric=True)] * TASKS
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = model(
            INPUTS + 1, range(INPUTS), tasks, embedding_size=1, tower_sizes=TOWER_SIZES, **options
        )
    made.register_module("embedding", Numbers())
    return made


class Together:
    """Independent models of the same kind, one per world, trained at once."""

    def __init__(self, models: list[MultiTaskModel], learning_rate: float) -> None:
        self.parameters, _ = stack_module_state(models)
        self._optimizer = torch.optim.Adam(self.parameters.values(), lr=learning_rate, fused=True)
        body = models[0]

        def losses(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            batch = torch.zeros_like(x, dtype=torch.long), x
            outputs: Tensor = functional_call(body, parameters, (batch,))
            return ((outputs - y) ** 2).mean(0)

        self._losses = vmap(losses)

    @torch.no_grad()
    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean squared errors ``[S, 2]`` on rows ``[S, n, 100]`` with labels ``[S, n, 2]``."""
        return self._losses(self.parameters, x, y)

    def step(self, x: Tensor, y: Tensor) -> None:
        """One Adam step of each model on its own rows."""
        self._optimizer.zero_grad()
        self._losses(self.parameters, x, y).sum().backward()
        self._optimizer.step()


def draw(worlds: list[World], n: int) -> tuple[Tensor, Tensor]:
    """The next n rows of each world, ``[S, n, 100]`` and ``[S, n, 2]``."""
    rows = [world.draw(n) for world in worlds]
    return torch.stack([x for x, _ in rows]), torch.stack([y for _, y in rows])


def study(correlation: float, seeds: list[int], steps: int) -> pd.DataFrame:
    """Losses of each model on rows that it was not trained on.

    Returns:
        ``correlation, seed, label_correlation, model, step, loss``; loss is the mean of both tasks.
    """
    worlds = [World(seed, correlation) for seed in seeds]
    x_test, y_test = draw(worlds, TEST_ROWS)
    models = {
        name: Together([new_model(name, seed) for seed in seeds], LEARNING_RATES[name])
        for name in MODELS
    }
    checks = set(np.linspace(0, steps, CHECKS + 1).astype(int).tolist())
    found = []
    for step in range(steps + 1):
        if step in checks:
            for name, model in models.items():
                for seed, labels, loss in zip(
                    seeds, y_test, model.losses(x_test, y_test).mean(-1).tolist(), strict=True
                ):
                    r = label_correlation(labels)
                    found.append((correlation, seed, r, name, step, loss))
        x, y = draw(worlds, BATCH_SIZE)
        for model in models.values():
            model.step(x, y)
    columns = ["correlation", "seed", "label_correlation", "model", "step", "loss"]
    return pd.DataFrame(found, columns=columns)


def geometric_mean(values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Geometric mean over the last axis (seeds), and the ends of its :data:`LEVEL` interval.

    The interval is Student's for the mean logarithm, since label scales differ between worlds by
    factors.
    """
    logs, n = np.log(values), values.shape[-1]
    mean = logs.mean(-1)
    width = stats.t.ppf((1 + LEVEL) / 2, n - 1) * logs.std(-1, ddof=1) / n**0.5
    return {"mean": np.exp(mean), "low": np.exp(mean - width), "high": np.exp(mean + width)}


def final_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Losses of the last step, and their ratios to Shared-Bottom's with the same seed.

    Returns:
        ``correlation, label_correlation, model``, and mean, low and high of ``loss`` and ``ratio``.
    """
    last = curves[curves["step"] == curves["step"].max()]
    found = []
    for correlation, part in last.groupby("correlation"):
        by_model = part.pivot(index="seed", columns="model", values="loss")
        for name in MODELS:
            losses = by_model[name].to_numpy()
            row = {
                "correlation": correlation,
                "label_correlation": part["label_correlation"].mean(),
                "model": name,
            }
            for what, values in ("loss", losses), ("ratio", losses / by_model["Shared-Bottom"]):
                made = geometric_mean(np.asarray(values))
                row |= {f"{what}_{key}": float(value) for key, value in made.items()}
            found.append(row)
    return pd.DataFrame(found)


def figure(curves: pd.DataFrame) -> Figure:
    """Loss against steps, one panel per correlation: means over seeds with intervals."""
    with style.styled():
        made = style.new_figure(2.0)
        correlations = sorted(curves["correlation"].unique())
        colours = dict(zip(MODELS, style.CYCLE, strict=False))
        panels = made.subplots(1, len(correlations), sharey=True, squeeze=False)[0]
        for axes, correlation in zip(panels, correlations, strict=True):
            part = curves[(curves["correlation"] == correlation) & (curves["step"] > 0)]
            for name, colour in colours.items():
                of_model = part[part["model"] == name]
                by_step = of_model.pivot(index="step", columns="seed", values="loss")
                losses = geometric_mean(by_step.to_numpy())
                axes.plot(by_step.index, losses["mean"], color=colour, label=name)
                axes.fill_between(
                    by_step.index,
                    losses["low"],
                    losses["high"],
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
            axes.set(title=f"correlation {correlation:g}", yscale="log", xlim=(0, None))
            axes.grid(axis="y")
        panels[0].set_ylabel("mean squared error, new rows")
        made.supxlabel("training steps", fontsize=7)
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return style.finish(made)


def summary(table: pd.DataFrame, seeds: int, steps: int) -> str:
    """The final losses as Markdown, with the command."""
    sizes = {
        name: sum(weights.numel() for weights in new_model(name, 0).parameters()) for name in MODELS
    }
    lines = [
        f"# Two synthetic tasks, {steps} steps of {BATCH_SIZE} rows",
        "",
        f"`{environment.command()}`: mean squared error on {TEST_ROWS} new rows, mean of both "
        f"tasks; geometric mean over {seeds} seeds with its {LEVEL:.0%} interval. The lowest "
        "possible error is 0.01. The ratio is to Shared-Bottom with the same seed. Parameters: "
        + ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        + ".",
        "",
        "| correlation of weights | of labels | model | loss | ratio |",
        "| ---: | ---: | --- | ---: | ---: |",
    ]
    for row in table.to_dict("records"):
        loss, ratio = (
            f"{row[f'{what}_mean']:.{digits}f} "
            f"({row[f'{what}_low']:.{digits}f} to {row[f'{what}_high']:.{digits}f})"
            for what, digits in (("loss", 4), ("ratio", 2))
        )
        lines.append(
            f"| {row['correlation']:g} | {row['label_correlation']:.3f} | {row['model']} "
            f"| {loss} | {'' if row['model'] == 'Shared-Bottom' else ratio} |"
        )
    return "\n".join(lines) + "\n"


def write(curves: pd.DataFrame, output: Path, files: Mapping[str, str]) -> None:
    """Write the curves, the texts and the figure."""
    write_text(output / "curves.csv", curves.to_csv(index=False, float_format="%.6g"))
    for name, text in files.items():
        write_text(output / name, text)
    style.save(figure(curves), output / "curves.png")


@app.command()
def main(
    seeds: Annotated[int, typer.Option(min=2, help="Number of worlds and initialisations.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Number of Adam steps.")] = 1500,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch.")] = 1,
    output: OutputOption = OUTPUT,
) -> None:
    """Train each model on tasks of each correlation."""
    torch.set_num_threads(threads)
    parts = [study(correlation, list(range(seeds)), steps) for correlation in CORRELATIONS]
    curves = pd.concat(parts, ignore_index=True)
    table = final_table(curves)
    text = summary(table, seeds, steps)
    final = table.to_csv(index=False, float_format="%.6g")
    write(curves, output, {"final.csv": final, "summary.md": text})
    typer.echo(text)


if __name__ == "__main__":
    run(app)
