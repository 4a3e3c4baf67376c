"""The wheel holds all that the packages need, and works from an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("analysis", "callbacks", "profile_collection", "vo2_plans")
WRITTEN = {"__pycache__", "history.sqlite", "log", "pid", "security", "db", ".cache"}
"""What Python, IPython and the queue server write into the tree."""
FILES = (
    "analysis/experiment/paper.toml",
    "analysis/experiment/quick.toml",
    "analysis/phasing/network/weights/refined.safetensors",
    "profile_collection/devices/epics/i16.toml",
    "profile_collection/ipython_config.py",
    "profile_collection/startup/00-session.py",
    "profile_collection/startup/user_group_permissions.yaml",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """Build the wheel from a copy of the packages, without a network; return the folder it is unpacked in."""
    pytest.importorskip("setuptools", reason="setuptools builds the wheel, and is not installed here")
    source, built, goal = (tmp_path_factory.mktemp(name) for name in ("source", "built", "site"))
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns(*WRITTEN))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*command, "--wheel-dir", built], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(goal)
    return goal


def test_it_holds_every_file_of_the_packages(unpacked):
    wanted = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and not WRITTEN & set(path.relative_to(ROOT).parts)
    }
    assert set(FILES) <= wanted
    assert [name for name in sorted(wanted) if not (unpacked / name).is_file()] == []


@pytest.mark.parametrize("words", [["--help"], ["dry-run", "--quick"]], ids=" ".join)
def test_it_works_from_an_empty_folder_with_an_empty_home(unpacked, tmp_path, words):
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VO2_")}
    code = "import analysis; print(analysis.__file__); from profile_collection.cli.app import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=here,
        env={**kept, "HOME": str(home), "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(str(unpacked))
    assert list(here.iterdir()) == []
