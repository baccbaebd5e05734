"""Reading the page in a real browser: verdict, sorting, hints, dark mode, runs side by side."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from metaselector.report.page.write import write_page
from tests.report.invented import LOSSES, write_run

COLUMN = """title => {
  const table = document.querySelector("#run-1-results table");
  const head = [...table.tHead.rows[0].cells];
  const at = head.findIndex(cell => cell.textContent === title);
  const rows = [...table.querySelectorAll("tbody:not([hidden]) tr:not([hidden])")];
  return [head[at].getAttribute("aria-sort"), rows.map(row => [row.cells[0].textContent,
    row.cells[at]?.textContent ?? null])];
}"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("reading") / "kept")
    write_page([folder], folder / "report.html", {folder: "only tables were kept"})
    return folder / "report.html"


def test_the_page_begins_with_the_verdict_and_its_figure(
    kept: Path, visit: Callable[..., Any]
) -> None:
    page = visit(kept)
    first = page.locator("main h2").first
    assert first.text_content() == "Verdict"
    assert page.locator("#verdict .verdict").text_content().startswith("In logloss, joint Meta")
    assert page.locator("#verdict figure").count() == 1
    assert page.locator("#verdict figure").bounding_box()["y"] < 900, "on the first screen"
    assert page.locator("#run-1-results figure").count() == 1, "shown once"


def test_columns_sort_by_mouse_and_keyboard(kept: Path, visit: Callable[..., Any]) -> None:
    page = visit(kept)
    grouped = page.evaluate(COLUMN, "logloss")
    assert (grouped[0], grouped[1][0]) == (None, ["single models", None])
    page.locator("#run-1-results").get_by_role("button", name="logloss").first.click()
    direction, rows = page.evaluate(COLUMN, "logloss")
    assert direction == "ascending"
    assert [model for model, _ in rows] == sorted(LOSSES, key=LOSSES.__getitem__)
    page.keyboard.press("Enter")
    direction, rows = page.evaluate(COLUMN, "logloss")
    assert direction == "descending"
    assert [model for model, _ in rows] == sorted(LOSSES, key=LOSSES.__getitem__, reverse=True)
    page.keyboard.press("Space")
    assert page.evaluate(COLUMN, "logloss") == grouped, "as it was"
    page.locator("#run-1-results").get_by_role("button", name="metaselector − row").first.click()
    direction, rows = page.evaluate(COLUMN, "metaselector − row, 95 %, Holm's p")
    values = [float(text.split()[0]) for _, text in rows if text]
    assert values == sorted(values)
    assert [model for model, text in rows if not text] == ["metaselector", "oracle-user"]
    assert [text for _, text in rows[-2:]] == ["", ""], "without a value: last"
    assert page.locator("#run-1-results table").first.locator("[aria-sort]").count() == 1


def test_hints_of_headers_and_rows(kept: Path, visit: Callable[..., Any]) -> None:
    page = visit(kept)
    hint = page.get_by_role("tooltip", include_hidden=True)
    buttons = page.locator("button[aria-describedby]")
    assert buttons.count() >= 7
    for button in buttons.all():
        described = page.locator(f"[id='{button.get_attribute('aria-describedby')}']")
        assert len(described.text_content()) > 20
    header = page.locator("#run-1-results thead").get_by_role("button", name="GAUC").first
    assert not hint.is_visible()
    header.hover()
    assert "Mean of the AUCs within each user" in hint.text_content()
    hint.hover()
    page.wait_for_timeout(300)
    assert hint.is_visible(), "the pointer may move onto it"
    page.keyboard.press("Escape")
    assert not hint.is_visible()
    page.keyboard.press("Tab")  # so that focus is visible
    header.focus()
    assert hint.is_visible()
    box, inside = hint.bounding_box(), page.viewport_size
    ends = (box["x"], box["x"] + box["width"], box["y"], box["y"] + box["height"])
    assert min(ends) >= 0
    assert ends[1] <= inside["width"]
    assert ends[3] <= inside["height"]
    header.blur()
    assert not hint.is_visible()


def test_values_of_a_figure_by_pointer_and_keyboard(kept: Path, visit: Callable[..., Any]) -> None:
    page = visit(kept)
    hint = page.get_by_role("tooltip", include_hidden=True)
    values = page.locator("#verdict .values")
    circles = values.locator("circle")
    assert circles.count() == 3 * 5  # metrics, rows without lr and lr-train
    circle = circles.nth(2)
    circle.scroll_into_view_if_needed()
    box = circle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2)
    assert hint.text_content() == (
        "metaselector − user-finetuned: -0.0100 [-0.0120, -0.0080], p = 0.010"
    )
    page.mouse.move(2, 2)
    page.wait_for_timeout(300)
    assert not hint.is_visible()
    values.focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        seen.append(page.locator("[aria-live='polite']#spoken").text_content())
    assert [text.split(":")[0] for text in seen] == [
        f"metaselector − {row}" for row in ("fm", "uniform", "user-finetuned")
    ]
    assert circles.nth(2).get_attribute("class") == "pointed"


def test_marks_lie_on_their_dots(kept: Path, visit: Callable[..., Any]) -> None:
    """Pixels at the places of significant values have the colour of their group's dots."""
    page = visit(kept, device_scale_factor=2)
    page.locator("#verdict .plot").scroll_into_view_if_needed()
    corner = page.locator("#verdict .plot").bounding_box()
    pixels = imread(io.BytesIO(page.locator("#verdict .plot").screenshot()))[..., :3]
    for place in (0, 1, 2):  # fm, uniform and user-finetuned in logloss
        box = page.locator("#verdict circle").nth(place).bounding_box()
        x = 2 * (box["x"] + box["width"] / 2 - corner["x"])
        y = 2 * (box["y"] + box["height"] / 2 - corner["y"])
        dot = pixels[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean((0, 1))
        wanted = (0, 0x72, 0xB2) if place == 0 else (0, 0x9E, 0x73)
        assert dot * 255 == pytest.approx(wanted, abs=12)


@pytest.mark.parametrize(("scheme", "low", "high"), [("light", 0.8, 1.0), ("dark", 0.0, 0.3)])
def test_figures_follow_dark_mode(
    kept: Path, visit: Callable[..., Any], scheme: str, low: float, high: float
) -> None:
    page = visit(kept, color_scheme=scheme)
    for plot in page.locator(".plot").all():
        pixels = imread(io.BytesIO(plot.screenshot()))[..., :3]
        assert low <= np.median(pixels) <= high
        ink = pixels.min() if scheme == "light" else pixels.max()
        assert abs(ink - np.median(pixels)) > 0.6, "text can be read"


@pytest.mark.parametrize("width", [390, 800])
def test_the_model_stays_in_view(kept: Path, visit: Callable[..., Any], width: int) -> None:
    page = visit(kept, width=width)
    box = page.locator("#run-1-results .scroll").first
    frame = box.bounding_box()
    box.evaluate("box => { box.scrollLeft = box.scrollWidth }")
    for cell in (
        box.locator("thead th").first,
        box.get_by_role("rowheader", name="metaselector", exact=True),
        box.locator(".group span").first,
    ):
        assert frame["x"] <= cell.bounding_box()["x"] < frame["x"] + 20
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_verdicts_and_tables_of_runs_side_by_side(
    tmp_path: Path, visit: Callable[..., Any]
) -> None:
    good = write_run(tmp_path / "good")
    bad = write_run(tmp_path / "bad", LOSSES | {"metaselector": 0.6})
    write_page([good, bad], tmp_path / "both.html", dict.fromkeys([good, bad], "only tables"))
    page = visit(tmp_path / "both.html")
    assert "in 1 of 2 runs (elsewhere +0.0200, significantly behind)" in (
        page.locator("#verdict .verdict").text_content()
    )
    cards = page.locator("#verdict .beside > section")
    assert cards.locator("h3").all_text_contents() == ["good", "bad"]
    tops = {round(card.bounding_box()["y"]) for card in cards.all()}
    assert len(tops) == 1, "beside each other"
    assert page.locator("#verdict figure").count() == 2
    table = page.locator("#comparison table").first
    heads = table.locator("thead tr").nth(1).locator("th").all_text_contents()
    assert heads == ["AUC", "logloss", "GAUC"] * 2
    table.get_by_role("button", name="logloss").nth(1).click()
    rows = table.locator("tbody:not([hidden]) tr:not([hidden])")
    shown = [row.locator("td").nth(4).text_content() for row in rows.all()]
    assert shown == sorted(shown)
    assert shown[-1] == "0.6100"


def test_without_scripts_everything_is_there(kept: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(kept.resolve().as_uri())
    page.get_by_text("What the columns and rows mean").first.click()
    assert page.get_by_text("Mean of the AUCs within each user").first.is_visible()
    assert page.locator(".values circle title").first.text_content().startswith("metaselector −")
    context.close()
