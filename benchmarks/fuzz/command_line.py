"""Output of the commands: one line per error, and no control sequences for a terminal."""

from __future__ import annotations

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from random import Random

import yaml

from benchmarks.fuzz.logs import COLUMNS, SCHEMA, Log, random_log
from benchmarks.fuzz.mutations import NAMES, mutated, word
from benchmarks.fuzz.odd_yaml import odd_settings
from benchmarks.fuzz.target import Different, Target
from benchmarks.fuzz.world import CANDIDATES, HISTORY, MODEL, SETTINGS
from metaselector.cli import main
from metaselector.common.errors import UserError

LONGEST = 4000
"""Longest line in characters, about a screenful."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def targets(world: Path) -> list[Target]:
    describe = partial(_said, ("data", "describe", "--dataset", SCHEMA))
    given = ("--run", str(world / MODEL), "--history", str(world / HISTORY))
    predict = ("predict", *given, "--candidates", CANDIDATES, "--output", "p.csv")
    return [
        Target("printed-describe", _log, describe, 4),
        Target("printed-draft", _log, partial(_said, ("data", "schema", "log.csv")), 3),
        Target("printed-settings", _settings, partial(_said, ("config", "--config", "s.yaml")), 3),
        Target("printed-predict", partial(_candidates, world), partial(_said, predict), 2),
    ]


def _log(random: Random, folder: Path) -> None:
    """A log whose words try to control the terminal that shows them."""
    log = random_log(random, odd=0.3)
    rows = [[*row] for row in log.rows]
    for _ in range(random.randrange(4)):
        row = random.choice(rows)
        row[random.choice((0, 1, 5, 7))] = random.choice(NAMES).replace("\n", " ")
    log = Log(rows, log.schema)
    data = log.text().encode()
    log.save(folder, mutated(random, data, 2) if random.random() < 0.4 else data, "log.csv")


def _settings(random: Random, folder: Path) -> None:
    given = odd_settings(random, dict(SETTINGS))
    if random.random() < 0.5:
        given[random.choice(NAMES)] = word(random)
    text = yaml.safe_dump(given, allow_unicode=True)
    (folder / "s.yaml").write_text(text, encoding="utf-8", errors="replace")


def _candidates(world: Path, random: Random, folder: Path) -> None:
    data = (world / CANDIDATES).read_bytes()
    name = random.choice(NAMES).encode()
    data = data.replace(random.choice(COLUMNS).encode() if random.random() < 0.5 else b"i2", name)
    (folder / CANDIDATES).write_bytes(mutated(random, data, 1) if random.random() < 0.5 else data)


def _said(words: tuple[str, ...], folder: Path) -> None:
    """Run a command on the files of `folder` in this process."""
    argv, out, err = sys.argv, io.StringIO(), io.StringIO()
    names = {path.name for path in folder.iterdir()} | {"p.csv"}
    sys.argv = ["metaselector", *(str(folder / w) if w in names else w for w in words)]
    code: object = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = argv
    _require_harmless(out.getvalue() + err.getvalue())
    lines = err.getvalue().splitlines()
    if code == 2 and lines and lines[-1].startswith("error: "):
        raise UserError(lines[-1])
    if code != 0:
        raise Different(f"exit code {code}: {' '.join(lines[-1:])}")


def _require_harmless(text: str) -> None:
    control = _CONTROL.search(text)
    if control:
        place = text[max(0, control.start() - 60) : control.end() + 20]
        raise Different(f"control character: {place!r}")
    longest = max(map(len, text.split("\n")))
    if longest > LONGEST:
        raise Different(f"a line of {longest} characters")
