"""The Makefile says in words what it requires of a fresh machine."""

import shutil
import subprocess
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


def test_a_wrong_python_is_named_with_its_version(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    result = make("python", f"PYTHON={old}")
    assert result.returncode != 0
    assert "is Python 3.9.2: install Python 3.11" in result.stderr


def test_an_installed_environment_is_not_installed_again(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("bin/python", "installed"):
        (tmp_path / name).touch()
    result = make("--dry-run", f"VENV={tmp_path}", f"{tmp_path}/installed")
    assert result.returncode == 0
    assert " install " not in result.stdout
    assert "-m venv" not in result.stdout
