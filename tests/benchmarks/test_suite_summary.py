"""The command that joins the tables, and the README's short form of the committed ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import suite_summary
from benchmarks.suite_readme import readme_table
from benchmarks.suite_summary import BEGIN, END, read_suite, with_table, write_summary
from metaselector.common.errors import UserError
from tests.benchmarks.made_up import write_entry

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_readme_shows_the_committed_results() -> None:
    tables, leads, _ = read_suite(RESULTS)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(text, readme_table(tables, leads), Path("README.md")) == text


def test_the_committed_page_is_that_of_the_committed_tables(tmp_path: Path) -> None:
    for folder in RESULTS.iterdir():
        if folder.is_dir() and folder.name != suite_summary.FOLDER:
            (tmp_path / folder.name).symlink_to(folder)
    write_summary(tmp_path)
    for name in ("summary.csv", "summary.md"):
        made = (tmp_path / suite_summary.FOLDER / name).read_text(encoding="utf-8")
        assert made == (RESULTS / suite_summary.FOLDER / name).read_text(encoding="utf-8"), name
    assert (RESULTS / suite_summary.FOLDER / suite_summary.FIGURE).exists()


def test_files_of_one_table_are_written_and_the_readme_renewed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_entry(tmp_path / "movielens-100k-warm")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    suite_summary.main(results=tmp_path, readme=readme)
    folder = tmp_path / "suite"
    files = {"summary.csv", "summary.md", "ranks.png"}
    assert {path.name for path in folder.iterdir()} == files
    assert set(pd.read_csv(folder / "summary.csv")["protocol"]) == {"warm"}
    assert "not made yet: movielens-100k-global, " in (folder / "summary.md").read_text()
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n\n| logloss | MovieLens-100K |\n")
    assert text.endswith(f"|\n\n{END}\nafter\n")
    assert "old" not in text
    assert str(folder / "ranks.png") in capsys.readouterr().out


def test_without_tables_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_summary(tmp_path)
    assert not list(tmp_path.iterdir())
    assert "no tables to collect" in capsys.readouterr().out


def test_a_page_without_the_lines_is_refused() -> None:
    with pytest.raises(UserError, match=r"page\.md: has no lines '<!-- suite -->'"):
        with_table("text", "table", Path("page.md"))
