"""The command that writes the page, for one or two runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from metaselector.report.figures.style import save
from metaselector.report.page.write import write_page
from metaselector.runs.run import Run

from .conftest import Report


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
    gauc = f"{ours.loc['lr', 'gauc']:.4f}"
    assert by_name["lr"] == [
        f"*{ours.loc['lr', 'auc']:.4f}", f"*{ours.loc['lr', 'logloss']:.4f}", gauc,
        "0.2500", "0.7500", gauc,
    ]  # fmt: skip
    assert by_name["fm"][3:] == ["–", "–", "–"]
    # What is best of its column in either run is not marked for that.
    best = ours["auc"].drop(["oracle-user", "oracle-sample", "lr", "fm"]).idxmax()
    assert not any(cell.startswith("*") for cell in by_name[best])
    same = f"{ours.loc['uniform', 'auc']:.4f}"
    assert by_name["uniform"][0] == by_name["uniform"][3] == same, "equals are not marked"
    assert by_name["selector.hidden_size"] == ["32", "7"]
    changed = [name for name in by_name if re.match("selector|adapt|meta_train|split", name)]
    assert changed == ["selector.hidden_size"]
    # Its checkpoints are those of other settings, so that its users have no steps.
    assert page.locator("#run-2-users .warning").count() == 1
    assert page.locator("#run-1-users polyline").count() == 5
    assert page.locator("#run-2-users polyline").count() == 0
    assert page.locator("#run-2-users .user table").count() == 3


def test_the_support_curve_has_a_table_a_figure_and_a_sentence(
    run: Run, page_file: Path, tmp_path: Path
) -> None:
    text = page_file.read_text(encoding="utf-8")
    section = text.partition("<h3>Adapting on few rows</h3>")[2].partition("</section>")[0]
    assert "<caption>Metrics by number of support rows</caption>" in section
    assert section.count("<figure>") == 1
    assert len(re.findall("Adapting (?:may hurt with|never hurts)", section)) == 1
    older = tmp_path / "older"
    shutil.copytree(run.directory, older)
    for path in older.rglob("support_curve*"):
        path.unlink()
    write_page([older], tmp_path / "older.html", {})
    text = (tmp_path / "older.html").read_text(encoding="utf-8")
    assert "Adapting on few rows" not in text
    assert "<caption>Results" in text


def test_headroom_is_measured_once_and_shown(run: Run, page_file: Path, report: Report) -> None:
    figure = re.findall(
        r"<figcaption>What choosing one base model per user can win.*</figcaption>",
        page_file.read_text(encoding="utf-8"),
    )
    assert len(figure) == 1
    before = (run.directory / "headroom.csv").stat().st_mtime_ns
    assert report(run.directory)[0] == 0
    assert (run.directory / "headroom.csv").stat().st_mtime_ns == before
    assert (run.directory / "figures" / "headroom.png").exists()


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
    assert "The user explorer is not available" in page.locator("#run-1-users").text_content()
    assert page.locator("figure img[src^='data:image/svg']").count() == 2  # and differences
    assert page.locator("figure img[src^='data:image/png']").count() == 1
    assert page.locator("#run-1-results th[scope=row]").count() > 10
    loaded = page.evaluate("[...document.images].every(image => image.naturalWidth > 100)")
    assert loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none"], "none: directory not found"),
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
