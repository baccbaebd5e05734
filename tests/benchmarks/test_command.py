"""The command line that is published with a result."""

from __future__ import annotations

import sys

import pytest

from benchmarks.command import published_command


@pytest.mark.parametrize(
    ("given", "published"),
    [
        (["--data", "/home/me/films.zip", "--seeds", "2"], "--data films.zip --seeds 2"),
        (["--data=../films.zip", "--models", "lr+fm"], "--data=films.zip --models lr+fm"),
        (
            ["--config", "benchmarks/configs/a.yaml", "--run", "/tmp/x"],
            "--config benchmarks/configs/a.yaml",
        ),
        (["--run=/tmp/x", "--keep", "7"], "7"),
    ],
)
def test_it_names_no_folder_of_this_machine(
    given: list[str], published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["a/program", *given])
    assert published_command({"--run": True, "--keep": False}) == f"program {published}"
