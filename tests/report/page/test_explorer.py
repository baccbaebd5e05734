"""The user explorer of the page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metaselector.runs.run import Run

from .conftest import TITLE, USER


def rows(page: Any, caption: str) -> list[list[str]]:
    """Cells of the table in the explorer whose caption starts so."""
    found: list[list[str]] = page.evaluate(
        """caption => {
          const table = [...document.querySelectorAll(".user table")]
            .find(table => table.caption.textContent.startsWith(caption));
          return [...table.rows].slice(1).map(row => [...row.cells].map(cell => cell.textContent));
        }""",
        caption,
    )
    return found


def test_the_explorer_shows_a_user_as_evaluation_saved_them(
    run: Run, page_file: Path, visit: Callable[..., Any]
) -> None:
    page = visit(page_file)
    page.get_by_label("Find a user").fill("U12")
    assert page.locator(".explorer option[value]").count() == 1 + 5  # and the orders
    assert page.locator(".user h3").text_content() == "User u12"
    saved = pd.read_parquet(run.directory / "predictions.parquet").query("user == 'u12'")
    p = saved.pivot(index="row", columns="model", values="p")
    shown = rows(page, "Test rows")
    assert len(shown) == 3
    ours = saved[saved["model"] == "metaselector"]
    assert [row[3] for row in shown] == [str(int(y)) for y in ours["y"]]
    for row, (place, _) in zip(shown, ours.set_index("row").iterrows(), strict=True):
        expected = p.loc[place, ["metaselector", "lr", "fm"]]
        assert [float(cell) for cell in row[4:]] == pytest.approx(list(expected), abs=6e-4)
    support = rows(page, "History: 5 support rows")
    assert [row[2] for row in support] == sorted(row[2] for row in support)
    assert max(row[2] for row in support) < min(row[2] for row in shown)
    steps = rows(page, "Inner steps")
    assert [float(w) for w in steps[0][2:4]] != [float(w) for w in steps[-1][2:4]]
    losses = {name: float(loss) for name, loss in rows(page, "Logloss")}
    assert set(losses) >= {"lr", "fm", "uniform", "metaselector", "oracle-user"}
    assert losses["oracle-user"] == min(losses["lr"], losses["fm"])


def test_the_chart_changes_with_the_user(page_file: Path, visit: Callable[..., Any]) -> None:
    page = visit(page_file)
    drawn = []
    for user in ("u1", "u2"):
        page.get_by_label("Find a user").fill(user)
        lines = page.locator("polyline")
        drawn.append([line.get_attribute("points") for line in lines.all()])
        assert [line.get_attribute("data-name") for line in lines.all()] == [
            "lr", "fm", "selector", "lr", "fm",
        ]  # fmt: skip
    assert page.locator(".user h3").text_content() == "User u2"  # not u20
    assert all(before != after for before, after in zip(*drawn, strict=True))


def test_a_chosen_user_has_an_address(page_file: Path, visit: Callable[..., Any]) -> None:
    page = visit(page_file)
    # The page's own address: `page.url` follows it a moment later.
    assert "#" not in page.evaluate("location.href")
    page.get_by_label("Find a user").fill("u12")
    assert page.evaluate("location.hash") == "#user-u12"
    assert page.locator(".user h3 a").get_attribute("href") == "#user-u12"
    page.evaluate("location.hash = '#user-u7'")
    page.wait_for_function("document.querySelector('.user h3').textContent === 'User u7'")
    assert page.get_by_label("Find a user").input_value() == ""
    assert page.locator(".list select").evaluate("s => s.selectedOptions[0].text").startswith("u7 ")
    page.evaluate("location.hash = '#user-nobody'")
    assert page.locator(".user h3").text_content() == "User u7"
    page.get_by_label("Find a user").fill("</SCRIPT>")
    plain, _, address = page.evaluate("location.href").partition("#")
    page.evaluate("location.hash = '#user-u7'")
    page.wait_for_function("document.querySelector('.user h3').textContent === 'User u7'")
    page.evaluate("address => { location.hash = address }", address)
    page.wait_for_function(
        "user => document.querySelector('.user h3').textContent === user", arg=f"User {USER}"
    )
    page.goto("about:blank")
    page.goto(f"{plain}#user-u12")
    assert page.locator(".user h3").text_content() == "User u12"


def test_the_values_of_the_charts(page_file: Path, visit: Callable[..., Any]) -> None:
    page = visit(page_file)
    page.get_by_label("Find a user").fill("u12")
    chart = page.locator(".chart .values").first
    steps = rows(page, "Inner steps")
    chart.focus()
    page.keyboard.press("Home")
    assert page.locator("#hint").text_content() == f"lr, step 0: {steps[0][2]}"
    page.keyboard.press("ArrowRight")
    assert page.locator("#hint").text_content() == f"lr, step 1: {steps[1][2]}"
    page.locator(".user").get_by_role("button", name="lr", exact=True).click()
    found = [row[5] for row in rows(page, "Test rows")]
    assert found == sorted(found)


def test_the_keyboard_is_enough(page_file: Path, visit: Callable[..., Any]) -> None:
    page = visit(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_label("Find a user").focus()
    page.keyboard.type("u")
    page.keyboard.press("Enter")
    seen = []
    for _ in range(3):
        seen.append(page.locator(".user h3").text_content())
        page.keyboard.press("ArrowDown")
    assert seen == ["User u0", "User u1", "User u2"]
    unnamed = page.evaluate(
        """[...document.querySelectorAll("input, select, [role=region], img, svg[role]")]
          .filter(e => !(e.labels?.length || e.getAttribute("aria-label") || e.alt)).length"""
    )
    assert unnamed == 0


def test_order_by_loss(page_file: Path, visit: Callable[..., Any]) -> None:
    page = visit(page_file)
    page.get_by_label("Order").select_option("high")
    texts = page.locator(".list option").all_text_contents()
    losses = [float(text.rsplit(" · ", 1)[1]) for text in texts]
    assert len(losses) == 40
    assert losses == sorted(losses, reverse=True)
    page.get_by_label("Find a user").fill("nobody")
    assert page.locator(".user").text_content() == "No user name matches."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_does_not_scroll_sideways(
    page_file: Path, visit: Callable[..., Any], scheme: str
) -> None:
    page = visit(page_file, width=390, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.locator(".scroll").first  # the results, which scroll inside of theirs
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")


def test_hostile_names_are_only_text(page_file: Path, visit: Callable[..., Any]) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 2
    page = visit(page_file)
    page.get_by_label("Find a user").fill("</SCRIPT>")
    assert page.locator(".user h3").text_content() == f"User {USER}"
    assert {row[1] for row in rows(page, "Test rows")} == {TITLE}
    assert page.evaluate("window.broken") is None


def test_no_script_runs_but_ours(page_file: Path, browser: Any) -> None:
    """Were one to get in all the same."""
    page = browser.new_page()
    page.goto(page_file.resolve().as_uri())
    page.evaluate(
        """() => { const script = document.createElement("script");
        script.textContent = "window.broken = 2"; document.body.append(script); }"""
    )
    assert page.evaluate("window.broken") is None
    page.close()
