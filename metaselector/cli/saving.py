"""The commands that save a trained model and show its card: save and card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import use
from metaselector.cli.options import ALLOW_CODE, JSON, ONE_SEED, QUIET
from metaselector.cli.written import say_written
from metaselector.common.errors import UserError
from metaselector.common.streams import put_out


@with_options("output", ONE_SEED, ALLOW_CODE, JSON, QUIET)
def save(
    options: Options,
    run: Annotated[Path, typer.Option("--run", help="Directory of a trained run.")],
    output: Annotated[Path, typer.Option(help="Directory to write, for the model alone.")],
    as_json: bool,
    seed: int | None = None,
) -> None:
    """Save what prediction needs, without the training rows, and a model card.

    `metaselector predict --run` accepts the directory, and so does MetaSelector.load.
    """
    from metaselector.inference.model_card import CARD, ModelCard
    from metaselector.inference.trained import open_trained

    trained, of_run = open_trained(run, seed, {}, use, allow_code=options.allow_code)
    if of_run is None:
        raise UserError(f"{run}: is a saved model already; copy the directory")
    card = ModelCard.of_run(trained, of_run)
    trained.save(output)
    card.write(output)
    say_written([output, output / CARD], as_json=as_json)


@with_options(ONE_SEED, ALLOW_CODE, JSON, QUIET)
def card(
    options: Options,
    model: Annotated[Path, typer.Argument(help="Directory of a saved model, or of a trained run.")],
    as_json: bool,
    seed: int | None = None,
) -> None:
    """Print the card of a model: data, protocol, base models, metrics with intervals, limits."""
    from dataclasses import asdict

    from metaselector.inference.model_card import ModelCard
    from metaselector.inference.saved_model import STATE
    from metaselector.inference.trained import open_trained
    from metaselector.report.as_json import as_text

    if (model / STATE).exists():
        found = ModelCard.read(model)
    else:
        trained, run = open_trained(model, seed, {}, use, allow_code=options.allow_code)
        assert run is not None  # there is no saved model
        found = ModelCard.of_run(trained, run)
    put_out(as_text(asdict(found)) if as_json else found.markdown())
