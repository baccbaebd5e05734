"""The HTML page of a run, in a real browser; names and titles of the run try to break it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from metaselector.cli import main
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.evaluate.combiners import COMBINERS, OPTIONAL
from metaselector.report.figures.style import save
from metaselector.report.page.write import write_page
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.explore import explore
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

USER = "</script><script>window.broken=1</script>\"'&amp;"
TITLE = "<img src=x onerror=window.broken=1> <!--<script> \u2028 & 'Film'"
SETTINGS = """
threads: 1
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
adapt: {support_size: 5}
meta_train: {epochs: 1}
evaluate: {resamples: 2}
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

SIMPLE = {name: make for name, make in COMBINERS.items() if name not in OPTIONAL}
"""Combiners that take no time."""

Report = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def run(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("page")
    raw = write_world(folder / "raw")
    for file, pattern, hostile in (
        ("inter", r"(?m)^u3\t", f"{USER}\t"),
        ("user", r"(?m)^u3\t", f"{USER}\t"),
        ("item", r"\tFilm \d+\t", f"\t{TITLE}\t"),
    ):
        path = raw / f"ml-100k.{file}"
        text = re.sub(pattern, hostile, path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
    settings = folder / "settings.yaml"
    settings.write_text(SETTINGS)
    run = Run(folder / "run", load_config(settings))
    prepare_run(run, raw, folder)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: SIMPLE)
        evaluate(run, Silent())
    save_config(run)
    made_with = {"command": "metaselector reproduce", "data_sha256": run.dataset.digest()}
    (run.directory / "environment.json").write_text(json.dumps(made_with))
    return run


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Report:
    """The command; what it prints on either stream, and its exit code."""

    def called(*arguments: object) -> tuple[int, str]:
        given = ["metaselector", "report", *map(str, arguments), "--threads", "1"]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as exited:
            main()
        return int(exited.value.code or 0), "".join(capfd.readouterr())

    return called


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    found = os.environ.get("METASELECTOR_CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a browser: make browser")
        pytest.skip(f"needs a browser, {' or '.join(BROWSERS)}: make browser")
    playwright = pytest.importorskip("playwright.sync_api")
    # As root, as in containers, Chromium has no sandbox; the page is our own file.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=options)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file; when the test ends, there was no error and no request to elsewhere."""
    problems: list[str] = []
    contexts = []

    def asked(url: str) -> None:
        if not url.startswith(("file:", "data:")):
            problems.append(f"asked for {url}")

    def opened(path: Path, width: int = 1280, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked(request.url))
        page.goto(path.resolve().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="module")
def page_file(run: Run) -> Path:
    explore(run, Silent())
    path = run.directory.parent / "page.html"
    write_page([run.directory], path, {})
    return path


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
    assert page.locator(".user").text_content() == "No user has such a name."


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


def test_the_command_writes_one_file_that_names_no_other(
    run: Run, report: Report, page_file: Path
) -> None:
    code, printed = report(run.directory)
    written = run.directory / "report.html"
    assert code == 0
    assert re.search(r"report\.html \(about [\d.]+ (KiB|MiB)\)", printed)
    text = written.read_text(encoding="utf-8")
    assert not re.findall(
        r"""(?:src|href)=["'](?!#|data:)""", text.partition("application/json")[0]
    )
    assert "url(" not in text
    assert written.read_bytes() == page_file.read_bytes(), "equal runs, equal bytes"


def test_two_runs_side_by_side(
    run: Run, report: Report, tmp_path: Path, visit: Callable[..., Any]
) -> None:
    """The other one is worse with lr, has no fm, and other settings; of the rest, the same."""
    other = tmp_path / "other"
    shutil.copytree(run.directory, other)
    results = pd.read_csv(other / "results.csv").query("model != 'fm'")
    results.loc[results["model"] == "lr", ["auc", "logloss"]] = 0.25, 0.75
    results.to_csv(other / "results.csv", index=False)
    settings = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(settings.replace("hidden_size: 32", "hidden_size: 7"))
    output = tmp_path / "both.html"
    assert report(run.directory, other, "--output", output)[0] == 0
    page = visit(output, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    lines = page.evaluate(
        """[...document.querySelectorAll("#comparison tbody tr")].map(row => [...row.cells]
          .map(cell => (cell.querySelector("strong") ? "*" : "") + cell.textContent))"""
    )
    by_name = {line[0]: line[1:] for line in lines}
    ours = pd.read_csv(run.directory / "results.csv").set_index("model")
    assert by_name["lr"] == [
        f"*{ours.loc['lr', 'auc']:.4f}", f"*{ours.loc['lr', 'logloss']:.4f}", "0.2500", "0.7500",
    ]  # fmt: skip
    assert by_name["fm"][2:] == ["–", "–"]
    # What is best of its column in either run is not marked for that.
    best = ours["auc"].drop(["oracle-user", "oracle-sample", "lr", "fm"]).idxmax()
    assert not any(cell.startswith("*") for cell in by_name[best])
    same = f"{ours.loc['uniform', 'auc']:.4f}"
    assert by_name["uniform"][0] == by_name["uniform"][2] == same, "equals are not marked"
    assert by_name["selector.hidden_size"] == ["32", "7"]
    changed = [name for name in by_name if re.match("selector|adapt|meta_train|split", name)]
    assert changed == ["selector.hidden_size"]
    # Its checkpoints are those of other settings, so that its users have no steps.
    assert page.locator("#run-2-users .warning").count() == 1
    assert page.locator("#run-1-users polyline").count() == 5
    assert page.locator("#run-2-users polyline").count() == 0
    assert page.locator("#run-2-users .user table").count() == 3


def test_a_run_of_which_only_tables_were_kept(
    run: Run, report: Report, tmp_path: Path, visit: Callable[..., Any]
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("results.csv", "differences.csv", "environment.json", "config.yaml"):
        shutil.copy(run.directory / name, kept / name)
    for name in ("comparison", "weights"):  # of which the results have one still
        picture = Figure((2, 1), dpi=100)
        save(picture, kept / "figures" / f"{name}.png")
    assert report(kept)[0] == 0
    page = visit(kept / "report.html")
    assert "There is no explorer of users" in page.locator("#run-1-users").text_content()
    assert page.locator("figure img[src^='data:image/svg']").count() == 1
    assert page.locator("figure img[src^='data:image/png']").count() == 1
    assert page.locator("#run-1-results th[scope=row]").count() > 10
    loaded = page.evaluate("[...document.images].every(image => image.naturalWidth > 100)")
    assert loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none"], "none: there is no such directory"),
        (["{tmp}"], "has no results yet; run `metaselector evaluate --run"),
        (["{run}", "--output", "{tmp}/page.pdf"], "choose a file name that ends in .html"),
        (["{run}", "--output", "{tmp}/file/page.html"], "cannot be written"),
        (["{run}", "--device", "nonsense"], "device"),
    ],
)
def test_mistakes_are_told(
    run: Run, report: Report, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "file").write_text("")
    given = [each.format(tmp=tmp_path, run=run.directory) for each in arguments]
    code, printed = report(*given)
    assert code == 2
    assert message in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_damaged_file_is_named(run: Run, report: Report, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.directory, copy)
    (copy / "environment.json").write_text(json.dumps({"command": "x"})[:-1])
    code, printed = report(copy)
    assert (code, "environment.json" in printed) == (2, True)
