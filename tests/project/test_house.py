"""Rules of the house that no linter knows: modules, ``__init__`` files, import contracts, clocks in tests."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = ("analysis", "callbacks", "profile_collection", "vo2_plans")
MODULES = [path for package in PACKAGES for path in sorted((HOUSE / package).rglob("*.py"))]
TESTS = sorted((HOUSE / "tests").rglob("test_*.py"))

LONGEST = 420
LONGER: dict[str, str] = {}
"""Modules that may be longer than that, each with the reason."""

CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "thread_time"}


def name_of(path: Path) -> str:
    """Return a file's path below the repository."""
    return path.relative_to(HOUSE).as_posix()


def tree_of(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def test_a_module_is_short_enough_to_be_read():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST}
    assert set(long) == set(LONGER), long


def does_more(statement: ast.stmt) -> bool:
    """Return whether a statement of an ``__init__`` is more than docstring, re-export or ``__all__``.

    A re-export may wait for its first use (PEP 562).
    """
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign):
        return ast.unparse(statement.targets[0]) != "__all__"
    if isinstance(statement, ast.If):
        return ast.unparse(statement.test) != "TYPE_CHECKING" or any(map(does_more, statement.body))
    if isinstance(statement, ast.FunctionDef):
        return statement.name != "__getattr__"
    return not isinstance(statement, ast.Import | ast.ImportFrom)


def test_an_init_holds_docstring_re_exports_and_all():
    for path in (path for path in MODULES if path.name == "__init__.py"):
        more = [f"{name_of(path)}:{s.lineno}" for s in tree_of(path).body if does_more(s)]
        assert more == []
        assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"


def test_the_import_contracts_hold():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def reads_clock(node: ast.AST, times: set[str]) -> bool:
    """Return whether an expression calls a clock, or uses one of the names that hold its readings."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in times:
            return True
        if isinstance(part, ast.Call):
            name = ast.unparse(part.func)
            if name == "time.time" or name.rsplit(".", 1)[-1] in CLOCKS:
                return True
    return False


def asserted_times(function: ast.AST) -> list[int]:
    """Return the lines of a test that assert a reading of the real clock."""
    times: set[str] = set()
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and reads_clock(node.value, times):
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * 9
            targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
            times |= {
                ast.unparse(target)
                for target, value in zip(targets, values, strict=False)
                if reads_clock(value, times)
            }
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and reads_clock(node.test, times):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_asserts_a_time(path):
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    assert [f"{name_of(path)}:{line}" for function in functions for line in asserted_times(function)] == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("began, a = time.monotonic(), 1\nwork()\nassert time.monotonic() - began < 1", [3]),
        ("a, began = 1, time.perf_counter()\nspent = time.perf_counter() - began\nassert spent < a", [3]),
        ("a, began = 1, time.perf_counter()\nassert a == 1", []),
        ("end = time.monotonic() + 5\nwhile time.monotonic() < end:\n    work()\nassert done", []),
    ],
)
def test_an_asserted_time_is_found(text, lines):
    assert asserted_times(ast.parse(text)) == lines


@pytest.mark.parametrize("path", sorted((HOUSE / "tests" / "benchmarks").glob("*.py")), ids=name_of)
def test_a_benchmark_prints_and_judges_nothing(path, monkeypatch):
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree_of(path)))
    # What it measures is still there: it can be imported.
    monkeypatch.syspath_prepend(path.parent)  # as where it is run: its folder's files can be imported
    runpy.run_path(str(path), run_name="imported")
