"""The Makefile says in words what it requires of a fresh machine."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


def test_a_missing_python_is_named():
    result = make("python", "PYTHON=/nowhere/python3.11")
    assert result.returncode != 0
    assert "'/nowhere/python3.11' was not found: install Python 3.11" in result.stderr


def interpreter(path: Path, version: tuple[int, int]) -> Path:
    """Write a Python that says it has a version, and is otherwise the one that runs here."""
    lines = [
        "#!/bin/sh",
        f'[ "$1" = --version ] && echo "Python {version[0]}.{version[1]}.0" && exit 0',
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2"',
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_an_old_python_is_named_with_its_version(tmp_path):
    result = make("python", f"PYTHON={interpreter(tmp_path / 'python3.9', (3, 9))}")
    assert result.returncode != 0
    assert "is Python 3.9.0: install Python 3.11" in result.stderr


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13), (3, 14)])
def test_python_3_11_and_newer_will_do(tmp_path, version):
    result = make("python", f"PYTHON={interpreter(tmp_path / 'python3', version)}")
    assert result.returncode == 0, result.stderr


def test_the_first_python_that_is_new_enough_is_taken(tmp_path, monkeypatch):
    interpreter(tmp_path / "python3.11", (3, 9))  # such as a pyenv shim of a version that is not active
    interpreter(tmp_path / "python3.12", (3, 12))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = make("--dry-run", f"VENV={tmp_path}/new", f"{tmp_path}/new/bin/python")
    assert '"python3.12" -m venv' in result.stdout, result.stderr


def test_pyproject_asks_for_the_same_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"


def test_an_installed_environment_is_not_installed_again(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("bin/python", "installed"):
        (tmp_path / name).touch()
    result = make("--dry-run", f"VENV={tmp_path}", f"{tmp_path}/installed")
    assert result.returncode == 0
    assert " install " not in result.stdout
    assert "-m venv" not in result.stdout


@pytest.mark.parametrize(
    ("given", "watched"), [("MONITOR=1", True), ("MONITOR=0", False), ("MONITOR=", False)]
)
@pytest.mark.parametrize("target", ["series", "quick"])
def test_a_series_starts_its_monitor_on_request(target, given, watched):
    result = make("--dry-run", target, given)
    assert result.returncode == 0, result.stderr
    assert ("--monitor" in result.stdout) == watched
