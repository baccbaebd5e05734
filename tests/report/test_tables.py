"""The summary of a run."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from metaselector.common.errors import DataError
from metaselector.evaluate.comparisons import BEST_SINGLE, TARGET
from metaselector.evaluate.results import ADDED
from metaselector.report.groups import group_of, in_groups
from metaselector.report.ranking import ranking_table
from metaselector.report.summary import best_single, cells, summary_frame
from metaselector.report.tables import print_summary, write_tables
from tests.report.tiny_run import made_differences, made_results, write_run


def test_groups() -> None:
    names = ["oracle-user", "metaselector", "lr", "uniform", "lr-train", "metaselector-simplified"]
    assert in_groups(names) == [
        "lr", "lr-train", "uniform", "metaselector", "metaselector-simplified", "oracle-user",
    ]  # fmt: skip
    assert group_of("metaselectors") == "single models"


def test_summary_of_one_seed() -> None:
    frame = summary_frame(made_results([0]), made_differences())
    assert frame.index.tolist() == ["my_model", "other", "uniform", "metaselector", "oracle-user"]
    assert frame.loc["metaselector", "logloss"] == 0.53
    assert frame.loc["metaselector", "gap_closed_logloss"] == pytest.approx(40)
    assert frame["auc_std"].isna().all()
    of = {family: frame.filter(like=f"{family}_").dropna() for family in (BEST_SINGLE, TARGET)}
    assert of[BEST_SINGLE].index.tolist() == ["metaselector"]
    assert of[TARGET].index.tolist() == ["my_model", "other"]
    assert of[BEST_SINGLE].loc["metaselector"].tolist() == [-0.02, -0.03, 0.1, 0.2, 2e-4]
    assert of[TARGET].loc["other"].tolist() == [-0.03, -0.04, -0.02, 6e-4, 4e-4]


def test_summary_averages_seeds() -> None:
    frame = summary_frame(made_results([0, 2]), made_differences())
    assert frame.loc["my_model", "auc"] == pytest.approx(0.751)
    assert frame.loc["my_model", "auc_std"] == pytest.approx(0.001 * 2**0.5)


def test_best_is_no_oracle_and_ties_are_both_best() -> None:
    results = made_results([0])
    results.loc[results["model"] == "uniform", "auc"] = 0.77 + 1e-9
    lines = cells(summary_frame(results))
    assert [model for model, line in lines.items() if line[0].best] == ["uniform", "metaselector"]
    assert [model for model, line in lines.items() if line[1].best] == ["metaselector"]
    assert [line[3].text for line in lines.values()] == [""] * 5  # GAUC is nan
    assert not any(line[3].best for line in lines.values())


def test_markdown(tmp_path: Path) -> None:
    assert [path.name for path in write_tables(write_run(tmp_path, [0]))] == [
        "summary.md",
        "summary.tex",
    ]
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "## tiny, warm\n" in text
    assert "Seed 0; 12 users, 1,234 test rows;" in text
    assert "relative to my_model" in text
    assert "Command: `metaselector reproduce --x_y 50%`" in text
    assert "paired bootstrap over users." in text
    assert "Holm" in text
    numbers = "| metaselector | **0.7700** | **0.5300** | **+8.00** |  | **40.0** | **100.0** |"
    assert f"{numbers} -0.0200 [-0.0300, +0.1000] |  |" in text
    assert "|  | -0.0200 [-0.0300, +0.1000], p = 0.080 |" in text
    assert "|  | -0.0300 [-0.0400, -0.0200], p < 0.001 |" in text
    main, _, ranking = text.partition("\n## Ranking by user\n")
    table = [line for line in main.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {10}
    assert "| other | 0.3700 | 0.8400 | +7.0000 [+7.0000, +7.0000], p = 0.500 |" in ranking
    assert "p = 0.500 | +0.0300 [+0.0200, +0.0400], p ≤ 0.0041 |" in ranking
    assert "| metaselector | **0.3850** | **0.8700** |  |  |" in ranking
    assert "metaselector minus this row, so that a positive one is a gain" in ranking
    groups = [line.split("*")[1] for line in table if line.startswith("| *")]
    assert groups == ["single models", "combinations", "MetaSelector", "oracles"]


def test_a_copy_is_named_in_title_and_caption(tmp_path: Path) -> None:
    path = write_run(tmp_path, [0]) / "environment.json"
    copy = {"data_title": "MovieLens-1M (copy)", "data_limit": "Its times are wrong."}
    path.write_text(json.dumps(json.loads(path.read_text()) | copy), encoding="utf-8")
    write_tables(tmp_path)
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "## MovieLens-1M (copy), warm\n\nIts times are wrong.\nSeed 0;" in text
    caption = r"\caption{MovieLens-1M (copy), warm. Its times are wrong. Seed 0;"
    assert caption in (tmp_path / "summary.tex").read_text(encoding="utf-8")
    assert set(pd.read_csv(tmp_path / "results.csv")["dataset"]) == {"tiny"}


def test_users_that_were_drawn_are_told(tmp_path: Path) -> None:
    path = write_run(tmp_path, [0]) / "environment.json"
    made_with = json.loads(path.read_text()) | {"max_users": 20_000}
    path.write_text(json.dumps(made_with), encoding="utf-8")
    write_tables(tmp_path)
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    note = "Of valid, and of test, at most 20,000 users, drawn at random (evaluate.max_users)."
    assert f"{note}\nSeed 0;" in text
    path.write_text(json.dumps(made_with | {"max_users": "many"}), encoding="utf-8")
    with pytest.raises(DataError, match=r"environment\.json: cannot be read"):
        write_tables(tmp_path)


def test_markdown_over_seeds_without_differences(tmp_path: Path) -> None:
    write_tables(write_run(tmp_path, [0, 2], differences=False))
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "Seeds 0, 2;" in text
    assert "0.7510 ± 0.0014" in text
    assert "bootstrap" not in text
    assert "| my_model | 0.3750 ± 0.0000 | 0.8500 ± 0.0000 |\n" in text
    assert "Holm" not in text


def test_latex(tmp_path: Path) -> None:
    write_tables(write_run(tmp_path, [0, 2]))
    text = (tmp_path / "summary.tex").read_text(encoding="utf-8")
    assert text.startswith("% Command: metaselector reproduce --x_y 50%\n")
    assert r"my\_model & 0.7510 $\pm$ 0.0014 &" in text
    assert r"\textbf{0.7710 $\pm$ 0.0014}" in text
    assert "$-$0.0200 [$-$0.0300, $+$0.1000], p = 0.080" in text
    assert "p $<$ 0.001" in text
    assert text.count(r"\midrule") == 8
    assert text.isascii()
    for opening, closing in ("{}", "[]"):
        assert text.count(opening) == text.count(closing)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_terminal_shows_what_fits(tmp_path: Path, width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    print_summary(write_run(tmp_path, [0]), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    line, ranking = (line for line in lines if line.startswith("│ metaselector"))
    assert "0.7700" in line
    assert "0.3850" in ranking
    assert ("[-0.0300, +0.1000]" in line) == (width == 200)
    assert max(map(len, lines)) <= width
    main = " ".join(lines).partition("Ranking by user")[0]
    assert ("gap closed (in logloss;" in main) == (width > 40)
    assert ("Δ logloss: difference in logloss" in main) == (width == 200)
    assert ("metaselector − row: difference" in main) == (width == 200)
    packed = re.sub(r"\s", "", main)  # a long path is wrapped anywhere
    left_out = re.search(r"(\d)morecolumns?(?:is|are)in\S*?summary\.md:([^.]*)\.", packed)
    if width == 200:
        assert left_out is None
    else:
        assert left_out is not None
        assert int(left_out[1]) == left_out[2].count(";") + 1
        head = next(line for line in lines if "model" in line)
        assert int(left_out[1]) == 8 - (head.count("┃") - 2)


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results.csv: file not found"):
        write_tables(tmp_path)
    write_run(tmp_path, [0])
    (tmp_path / "environment.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"environment.json: cannot read 'command'"):
        write_tables(tmp_path)
    assert not (tmp_path / "summary.md").exists()


def test_a_column_that_is_missing_and_a_damaged_file(tmp_path: Path) -> None:
    made_results([0]).drop(columns="gauc").to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(DataError, match=r"\(column gauc\): column is missing"):
        write_tables(tmp_path)
    (tmp_path / "results.csv").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        write_tables(tmp_path)


def test_results_of_earlier_versions_lack_columns(tmp_path: Path) -> None:
    write_run(tmp_path, [0])
    path = tmp_path / "results.csv"
    pd.read_csv(path).drop(columns=list(ADDED)).to_csv(path, index=False)
    write_tables(tmp_path)
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "| metaselector | **0.7700** | **0.5300** | **+8.00** |  | **40.0** | -0.0200 [" in text
    assert "Ranking" not in text
    assert "headroom" not in text
    pd.read_csv(path).assign(mrr="high").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"\(column mrr\): contains text instead of numbers"):
        write_tables(tmp_path)


def test_bounds_are_oracles_with_a_logloss_only(tmp_path: Path) -> None:
    bound = (
        made_results([0]).iloc[[0]].assign(model="headroom", logloss=0.51, gap_closed_headroom=1.0)
    )
    bound[["auc", "rela_impr", "gauc", "ndcg_10", "mrr", "gap_closed_auc"]] = np.nan
    write_run(tmp_path, [0])
    pd.concat([bound, made_results([0])]).to_csv(tmp_path / "results.csv", index=False)
    write_tables(tmp_path)
    main, _, ranking = (tmp_path / "summary.md").read_text("utf-8").partition("## Ranking by user")
    assert (
        "*oracles* |  |  |  |  |  |  |  |  |\n| headroom |  | 0.5100 |  |  | 100.0 | 100.0 |"
        in main
    )
    assert "a model may honestly close more than 100 % of it" in main
    assert "headroom" not in ranking


def test_without_metaselector_ranking_is_compared_with_the_best_single_model() -> None:
    differences = made_differences().query("family == @BEST_SINGLE")
    table = ranking_table(made_results([0]), differences)
    assert table is not None
    assert table.titles == ["NDCG@10", "MRR", "AUC: row − best single, 95 %, Holm's p"]
    line = dict(table.groups[2][1])["metaselector"]
    assert line[2].text == "+5.0000 [+5.0000, +5.0000], p = 0.500"
    assert "this row minus the best single model" in table.notes[1]
    plain = ranking_table(made_results([0]), None)
    assert plain is not None
    assert len(plain.notes) == 1


def test_one_table_shows_one_data_set(tmp_path: Path) -> None:
    write_run(tmp_path, [0])
    both = pd.concat([made_results([0]), made_results([0]).assign(dataset="other")])
    both.to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(DataError, match=r"has 2 values \(tiny, other\)"):
        write_tables(tmp_path)


def test_another_model_with_the_auc_of_the_best_single_one_is_not_it() -> None:
    results = made_results([0, 1])
    results.loc[results["model"] == "uniform", "rela_impr"] = 0.0
    assert best_single(results)["model"].tolist() == ["my_model"] * 2


def test_an_oracle_that_always_takes_the_best_single_model_is_not_it() -> None:
    """Then there is no gap to close, and its share is not a number."""
    results = made_results([0, 1]).assign(gap_closed_logloss=np.nan)
    results.loc[results["model"].isin(["uniform", "oracle-user"]), "rela_impr"] = 0.0
    assert best_single(results)["model"].tolist() == ["my_model"] * 2


def test_a_hostile_name_is_only_text(tmp_path: Path) -> None:
    write_run(tmp_path, [0], differences=False)
    path, name = tmp_path / "results.csv", "a|b`[red]\x1b[31m\n$%"
    results = pd.read_csv(path).replace({"model": {"other": name}, "dataset": {"tiny": name}})
    results.to_csv(path, index=False)
    markdown, latex = (written.read_text() for written in write_tables(tmp_path))
    for table in markdown.split("## Ranking"):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({re.sub(r"\\.", "", line).count("|") for line in lines}) == 1
    assert r"| a\|b\`[red]\\x1b[31m\\n$% |" in markdown
    assert r"a|b`[red]\textbackslash{}x1b[31m\textbackslash{}n\$\% &" in latex
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    print_summary(tmp_path, console)
    assert isinstance(console.file, io.StringIO)
    assert r"│ a|b`[red]\x1b[31m\n$%" in console.file.getvalue()
    assert "\x1b[31m" not in console.file.getvalue()
