"""Tables that do not fit the column of the site are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from extensions import table_widths

from .conftest import DOCS


def table(*rows: list[str], numbers: bool = True) -> str:
    """A table as the site has it: a header, names, and numbers on the right."""
    side = ' class="text-right"' if numbers else ""
    head, *body = rows
    cells = ["".join(f"<th><p>{cell}</p></th>" for cell in head)]
    cells += [
        f"<td><p>{row[0]}</p></td>" + "".join(f"<td{side}><p>{cell}</p></td>" for cell in row[1:])
        for row in body
    ]
    lines = "".join(f"<tr>{line}</tr>" for line in cells)
    return f'<div class="table-wrapper"><table class="docutils align-default">{lines}</table></div>'


LONG = "+0.0141 [+0.0063, +0.0219]"


@pytest.mark.parametrize(
    ("rows", "numbers", "width"),
    [
        ((["a", "b b"], ["12 345", "1.0 [2.0]"]), True, 3 + 5),  # wraps
        ((["a", "b"], ["user-finetuned", "-0.5"]), True, 9 + 4),  # after a hyphen, not a sign
        ((["a", "b"], ["<code>a.long name</code> x", "<code>c d</code>"]), False, 11 + 1),
        ((["a"] * 7, ["a name", *[LONG] * 6]), True, 6 + 6 * 26),
        ((["a"] * 7, ["a name", *[LONG] * 6]), False, 4 + 6 * 9),
        ((["a"] * 7, ["a title", *[""] * 6]), True, 7 + 6),
    ],
)
def test_what_stays_on_one_line(rows: tuple[list[str], ...], numbers: bool, width: int) -> None:
    ((header, found),) = table_widths.widths(table(*rows, numbers=numbers))
    assert header == " | ".join(rows[0])
    assert found == width + table_widths.PADDING * len(rows[0])


def test_other_tables_do_not_count() -> None:
    assert list(table_widths.widths(f"<table><tr><td>{'x' * 200}</td></tr></table>")) == []
    two = table(["a"], ["b"]) + "text" + table(["c"], ["d"])
    assert [header for header, _ in table_widths.widths(two)] == ["a", "c"]


def test_a_wide_table_is_named(tmp_path: Path) -> None:
    wide = table(["model", *"abcdef"], ["lr", *[LONG] * 6])
    for name in ("page.html", "quick-start.html", "_modules/x.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(table(["a", "b"], ["c", LONG]) + wide)
    (found,) = table_widths.too_wide(tmp_path)
    assert found.startswith(
        "page.html: table 'model | a | b | c | d | e | f': about 178 characters"
    )


def test_the_style_wraps_as_many_columns() -> None:
    style = (DOCS / "static" / "site.css").read_text(encoding="utf-8")
    first_too_many = f"nth-child({table_widths.WRAPPING + 1})"
    assert style.count(first_too_many) == style.count("nth-child(") == 2


def test_pages_that_may_scroll_exist() -> None:
    for page in table_widths.SCROLLING:
        assert (DOCS / page).with_suffix(".md").exists()
