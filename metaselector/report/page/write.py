"""Build the HTML page from the files of one or several runs, and write it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metaselector.common.errors import DataError
from metaselector.common.files import read_json, write_text
from metaselector.common.yaml_file import read_mapping
from metaselector.report.page.comparison import METRICS, Beside, differences, side_by_side
from metaselector.report.page.figures import (
    CURVE,
    DIFFERENCES,
    TRAINING,
    Picture,
    pictures_of,
)
from metaselector.report.page.folders import Folder, folders_of
from metaselector.report.page.legend import legend
from metaselector.report.page.users import users_of
from metaselector.report.summary import Summary
from metaselector.report.support_curve import read_support_curve
from metaselector.report.tables import read_summary
from metaselector.report.verdict import Verdict, across, read_verdict

_ENVIRONMENT = "environment.json"
_SCRIPTS = ("elements.js", "hints.js", "tables.js", "explorer.js")
"""Parts of the page's only script, in this order."""

_AGAIN = "run `metaselector evaluate` again"
_COMPARED = ("data_sha256", "metaselector", "commit", "python", "packages", "device", "gpu")


class Table(NamedTuple):
    """A table of a run, with its figures.

    Attributes:
        title: title within the run; empty if the run has no other table.
        overview: whether it summarises several other tables.
        summary: the table.
        pictures: figures of the same results.
        verdict: what it shows; None for an overview.
        differences: the figure of joint MetaSelector's differences, in a list that may be empty.
    """

    title: str
    overview: bool
    summary: Summary
    pictures: list[Picture]
    verdict: Verdict | None = None
    differences: Sequence[Picture] = ()


class RunPart(NamedTuple):
    """The part of the page about one run.

    Attributes:
        name: short, unique name.
        directory: the run directory.
        tables: all tables, overviews first.
        support_curve: the table and figure of the support curve; None if the run has none.
        harm: whether adapting harms on few rows; empty without a support curve.
        training: figures of training.
        users: data of the user explorer, or None.
        no_users: why there is no user explorer.
        environment: versions, device and command of the run.
        settings, settings_text: all settings, and the same as YAML.
    """

    name: str
    directory: str
    tables: list[Table]
    support_curve: Table | None
    harm: str
    training: list[Picture]
    users: dict[str, Any] | None
    no_users: str
    environment: dict[str, Any]
    settings: dict[str, Any]
    settings_text: str


def write_page(runs: Sequence[Path], output: Path, no_users: Mapping[Path, str]) -> None:
    """Write a self-contained HTML file that needs no network.

    Args:
        runs: directories of evaluated runs.
        no_users: by run, why there is no user explorer.

    Raises:
        UserError: a run is missing or not evaluated, or the file cannot be written.
        DataError: a file of a run is missing or damaged.
    """
    folders = [folders_of(run) for run in runs]
    names = _names(runs)
    parts = [
        _part(run, name, of_run, no_users.get(run, ""))
        for run, name, of_run in zip(runs, names, folders, strict=True)
    ]
    beside = side_by_side(folders) if len(runs) > 1 else []
    write_text(output, _rendered(parts, beside))


def _part(run: Path, name: str, folders: list[Folder], no_users: str) -> RunPart:
    environment = run / _ENVIRONMENT
    recorded = _read_environment(environment)
    config = run / "config.yaml"
    settings = read_mapping(config) if config.exists() else {}
    tables, training, curve = [], [], []
    for folder in folders:
        beside = folder.path / _ENVIRONMENT
        summary = read_summary(folder.path, beside if beside.exists() else environment)
        pictures = pictures_of(folder.path)
        training += [picture for picture in pictures if picture.name in TRAINING]
        curve += [picture for picture in pictures if picture.name == CURVE]
        judged = None if folder.overview else read_verdict(folder.path, settings)
        compared = [picture for picture in pictures if picture.name == DIFFERENCES]
        elsewhere = (*TRAINING, CURVE, DIFFERENCES)
        pictures = [picture for picture in pictures if picture.name not in elsewhere]
        table = Table(folder.title, folder.overview, summary, pictures, judged, compared)
        tables.append(table)
    if run not in [folder.path for folder in folders]:
        training += [picture for picture in pictures_of(run) if picture.name in TRAINING]
    by_rows = read_support_curve(run, "support curve", tables[0].summary.command)
    return RunPart(
        name=name,
        directory=str(run),
        tables=tables,
        support_curve=by_rows and Table("", False, by_rows, curve),
        harm=by_rows.notes[0] if by_rows else "",
        training=training,
        users=None if no_users else users_of(run),
        no_users=no_users,
        environment=recorded,
        settings=settings,
        settings_text=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
    )


def _read_environment(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(path, f"missing or damaged ({error}); {_AGAIN}") from error
    if not isinstance(found, dict):
        raise DataError(path, f"is not a JSON object; {_AGAIN}")
    return found


def _names(runs: Sequence[Path]) -> list[str]:
    """Names of the directories, or their paths as given if two names are equal."""
    short = [run.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]


def _rendered(parts: list[RunPart], beside: list[Beside]) -> str:
    templates = Environment(
        loader=PackageLoader("metaselector.report.page", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False}
    templates.filters.update(legend=legend, position=lambda names, name: names.index(name) + 1)
    templates.globals.update(number=count(1).__next__, across=across)
    style = _asset(templates, "page.css")
    script = "\n".join(_asset(templates, name) for name in _SCRIPTS)
    environments = [
        {key: part.environment[key] for key in _COMPARED if key in part.environment}
        for part in parts
    ]
    hashes = [part.environment.get("data_sha256") for part in parts]
    return templates.get_template("page.html").render(
        parts=parts,
        beside=beside,
        overall=across(
            [table.verdict for part in parts for table in part.tables if table.verdict],
            "runs" if all(len(part.tables) == 1 for part in parts) else "tables",
        ),
        metrics=list(METRICS.values()),
        setting_differences=differences([part.settings for part in parts]),
        environment_differences=differences(environments),
        same_data=len(set(hashes)) == 1,
        users=[part.users for part in parts],
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
    )


def _asset(templates: Environment, name: str) -> str:
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


def _hash(text: str) -> str:
    """Hash of an inline script or style for the content security policy."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
