"""Build the HTML page from the files of one or several runs, and write it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metaselector.common.errors import DataError
from metaselector.common.files import read_json, write_text
from metaselector.common.yaml_file import read_mapping
from metaselector.report.page.comparison import METRICS, Beside, differences, side_by_side
from metaselector.report.page.figures import CURVE, TRAINING, Picture, pictures_of
from metaselector.report.page.folders import Folder, folders_of
from metaselector.report.page.users import users_of
from metaselector.report.summary import Summary
from metaselector.report.support_curve import read_support_curve
from metaselector.report.tables import read_summary

_ENVIRONMENT = "environment.json"
_AGAIN = "run `metaselector evaluate` again"
_COMPARED = ("data_sha256", "metaselector", "commit", "python", "packages", "device", "gpu")


class Table(NamedTuple):
    """A table of a run, with its figures.

    Attributes:
        title: title within the run; empty if the run has no other table.
        overview: whether it summarises several other tables.
        summary: the table.
        pictures: figures of the same results.
    """

    title: str
    overview: bool
    summary: Summary
    pictures: list[Picture]


class RunPart(NamedTuple):
    """The part of the page about one run.

    Attributes:
        name: short, unique name.
        directory: the run directory.
        tables: all tables, overviews first.
        support_curve: the table and figure of the support curve; None if the run has none.
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
    tables, training, curve = [], [], []
    for folder in folders:
        beside = folder.path / _ENVIRONMENT
        summary = read_summary(folder.path, beside if beside.exists() else environment)
        pictures = pictures_of(folder.path)
        training += [picture for picture in pictures if picture.name in TRAINING]
        curve += [picture for picture in pictures if picture.name == CURVE]
        pictures = [picture for picture in pictures if picture.name not in (*TRAINING, CURVE)]
        tables.append(Table(folder.title, folder.overview, summary, pictures))
    if run not in [folder.path for folder in folders]:
        training += [picture for picture in pictures_of(run) if picture.name in TRAINING]
    by_rows = read_support_curve(run, "support curve", tables[0].summary.command)
    config = run / "config.yaml"
    settings = read_mapping(config) if config.exists() else {}
    return RunPart(
        name=name,
        directory=str(run),
        tables=tables,
        support_curve=by_rows and Table("", False, by_rows, curve),
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
    style, script = (_asset(templates, name) for name in ("page.css", "page.js"))
    environments = [
        {key: part.environment[key] for key in _COMPARED if key in part.environment}
        for part in parts
    ]
    hashes = [part.environment.get("data_sha256") for part in parts]
    return templates.get_template("page.html").render(
        parts=parts,
        beside=beside,
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
