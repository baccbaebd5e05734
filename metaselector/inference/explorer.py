"""Explore a user in a notebook: widgets over :class:`~.exploration.Exploration`."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd

from metaselector.common.errors import UserError
from metaselector.common.extras import install_extra
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.inference.exploration import Effect, Exploration

SHOWN = 50
"""Most recent rows of the history that have controls."""
_BAR = 80  # pixels


class Explorer:
    """Controls for a user's history, the inner steps and the support size, and what they move.

    Args:
        user, candidates: as for :class:`Exploration`.

    Attributes:
        exploration: what the controls change.
        keep, positive: a checkbox and a toggle button for each of the most recent rows of the
            history, the latest first: whether it is there, and whether its label is positive.
        steps, support_size: sliders.
        reset: a button that takes all changes back.
        output: an HTML widget with the effect.

    Raises:
        UserError: ipywidgets is not installed, or there is no history.
    """

    def __init__(self, user: AdaptedUser, candidates: pd.DataFrame | None = None) -> None:
        try:
            import ipywidgets as widgets
        except ModuleNotFoundError as error:
            raise UserError(
                f"explore: needs ipywidgets; install it with {install_extra('notebook')}"
            ) from error
        self.exploration = Exploration(user, candidates)
        history = self.exploration.history
        latest = np.argsort(history["timestamp"], kind="stable")[::-1][:SHOWN]
        self._start = self.exploration.steps, self.exploration.support_size
        self._rows = [int(row) for row in latest]
        self._quiet = False
        narrow = widgets.Layout(width="11em")
        self.keep = [
            widgets.Checkbox(
                value=True, description=str(history["item"][row]), indent=False, layout=narrow
            )
            for row in self._rows
        ]
        self.positive = [
            widgets.ToggleButton(
                value=bool(history["label"][row]), layout=widgets.Layout(width="7em")
            )
            for row in self._rows
        ]
        self.steps = widgets.IntSlider(
            self._start[0], 0, max(2 * self._start[0], 1), description="steps"
        )
        self.support_size = widgets.IntSlider(
            min(self._start[1], len(history)), 0, len(history), description="support"
        )
        self.reset = widgets.Button(description="reset")
        self.output = widgets.HTML()
        for control in (*self.keep, *self.positive, self.steps, self.support_size):
            control.observe(self._changed, names="value")
        self.reset.on_click(self._reset)
        whole = widgets.Layout(flex="0 0 auto")  # else rows shrink until no scrolling is needed
        rows = [
            widgets.HBox(pair, layout=whole) for pair in zip(self.keep, self.positive, strict=True)
        ]
        scrolled = widgets.Layout(max_height="30em", overflow="auto", min_width="20em")
        self.widget = widgets.HBox(
            [
                widgets.VBox(
                    [self.steps, self.support_size, self.reset, widgets.VBox(rows, layout=scrolled)]
                ),
                self.output,
            ]
        )
        self._update()

    def _repr_mimebundle_(self, **arguments: Any) -> Any:
        return self.widget._repr_mimebundle_(**arguments)

    def _changed(self, _: Any) -> None:
        if not self._quiet:
            self._update()

    def _reset(self, _: Any) -> None:
        self._quiet = True
        try:
            for row, keep, positive in self._controls():
                keep.value = True
                positive.value = bool(self.exploration.history["label"][row])
            self.steps.value = self._start[0]
            self.support_size.value = min(self._start[1], len(self.exploration.history))
        finally:
            self._quiet = False
        self._update()

    def _controls(self) -> list[tuple[int, Any, Any]]:
        return list(zip(self._rows, self.keep, self.positive, strict=True))

    def _update(self) -> None:
        exploration = self.exploration
        exploration.steps = self.steps.value
        exploration.support_size = self.support_size.value
        for row, keep, positive in self._controls():
            exploration.kept[row] = keep.value
            exploration.turned[row] = positive.value != bool(exploration.history["label"][row])
            positive.description = "positive" if positive.value else "negative"
        try:
            self.output.value = html_of(exploration.effect())
        except UserError as error:
            self.output.value = f"<p>{escape(str(error))}</p>"


def html_of(effect: Effect) -> str:
    """The weights by step and the predictions as HTML tables; probabilities have bars."""
    trace, predictions = effect.trace.round(4), effect.predictions.copy()
    moved = predictions["now"] - predictions["before"]
    for name in ("unadapted", "before", "now"):
        predictions[name] = [
            f"{p:.3f} <span style='display:inline-block;height:.6em;background:#0072B2;"
            f"width:{p * _BAR:.0f}px'></span>"
            for p in predictions[name]
        ]
    place = list(predictions.columns).index("now") + 1
    predictions.insert(place, "moved", moved.map("{:+.3f}".format))
    predictions["item"] = predictions["item"].map(lambda item: escape(str(item)))
    for name in [str(name) for name in predictions if str(name).startswith("weight_")]:
        predictions[name] = predictions[name].round(3)
    return (
        "<p><b>Inner steps</b></p>"
        + _table(trace)
        + "<p><b>Predictions</b></p>"
        + _table(predictions, escape=False)
    )


def _table(shown: pd.DataFrame, **options: Any) -> str:
    table = shown.to_html(index=False, border=0, **options)
    aligned = "style='text-align:left;padding-right:1em'"
    return table.replace("<th>", f"<th {aligned}>").replace("<td>", f"<td {aligned}>")
