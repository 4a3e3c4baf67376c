"""Text is UTF-8 whatever the locale says: no file is opened in an encoding that nobody named."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = ("analysis", "callbacks", "profile_collection", "vo2_plans")
OPENERS = {"open": 1, "fdopen": 1, "read_text": None, "write_text": None}
"""Name of a call to the place of its mode among its arguments; a path's own `open` has it one earlier."""
NOT_FILES = ("shutter", "os.open", "safe_open", "owner", "webbrowser")
"""Beginnings of other calls that end in ``open``."""


def mode_of(call, name):
    """Return the mode that a call opens its file in, "r" where it says none."""
    given = next((word.value for word in call.keywords if word.arg == "mode"), None)
    if given is None and OPENERS[name] is not None:
        place = OPENERS[name] - (isinstance(call.func, ast.Attribute) and name == "open")
        given = call.args[place] if len(call.args) > place else None
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else "r"


def nameless(tree):
    """Yield the lines that open text without naming its encoding."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        called = ast.unparse(call.func)
        name = called.rsplit(".", 1)[-1]
        if name not in OPENERS or any(word in called for word in NOT_FILES):
            continue
        if "b" not in mode_of(call, name) and "encoding" not in {word.arg for word in call.keywords}:
            yield call.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_text_names_its_encoding(package):
    found = [
        f"{path.relative_to(HOUSE)}:{line}"
        for path in sorted((HOUSE / package).rglob("*.py"))
        for line in nameless(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_search_finds_what_it_is_there_for():
    text = "p.read_text()\np.open('rb')\np.open('w', newline='')\nopen(p)\nopen(p, 'wb')\np.write_text('a')\n"
    assert list(nameless(ast.parse(text))) == [1, 3, 4, 6]
    assert list(nameless(ast.parse("p.read_text(encoding='utf-8')\nself.open('a')\n"))) == [2]
