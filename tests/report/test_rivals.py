"""What the notes below a table say about the rivals."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.report.rivals import rival_notes

LINES = """seed,model,setting,choice,at_end
0,user-finetuned-plain,rate,0.3,False
0,user-finetuned,start,sample-selector,False
0,user-finetuned,prior_rows,3.0,False
1,user-finetuned-plain,rate,1.0,True
1,user-finetuned,start,uniform,False
1,user-finetuned,prior_rows,3.0,False
"""


def test_a_note_for_each_rival(tmp_path: Path) -> None:
    (tmp_path / "rivals.csv").write_text(LINES)
    assert rival_notes(tmp_path) == {
        "user-finetuned-plain": "user-finetuned-plain chose on valid: rate 0.3 or 1 (an end of "
        "its grid).",
        "user-finetuned": "user-finetuned chose on valid: start sample-selector or uniform, prior "
        "rows 3.",
    }


def test_older_runs_have_none(tmp_path: Path) -> None:
    assert rival_notes(tmp_path) == {}


def test_damage_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rivals.csv").write_text("seed,model\n0,x\n")
    with pytest.raises(DataError, match="setting"):
        rival_notes(tmp_path)
