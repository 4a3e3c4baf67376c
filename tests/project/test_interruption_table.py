"""The table in docs/interruptions.md is what the tests that really interrupt say of themselves.

A test is a row if its docstring has the three fields ``Reads:``, ``Left:`` and
``On disk:`` (what the user reads, the state the beamline is left in, what is on disk); a field may go on over
several lines. Its name is the row's title. ``python tests/project/test_interruption_table.py`` writes the
table into that page.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "interruptions.md"
BEGIN, END = "<!-- interruptions -->", "<!-- /interruptions -->"
FIELDS = ("Reads", "Left", "On disk")
HEADER = (
    "| What happens | What one reads | How the beamline is left | What is on disk |",
    "|---|---|---|---|",
)


def fields_of(docstring: str) -> dict[str, str]:
    """Return the fields of a test's docstring, each as one line."""
    found: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(docstring).splitlines():
        begun = re.match(rf"\s*({'|'.join(FIELDS)}): *(.*)", line)
        if begun:
            name = begun[1]
            found[name] = begun[2].strip()
        elif not line.strip():
            name = ""
        elif name:
            found[name] += " " + line.strip()
    return found


def title_of(function: str) -> str:
    """Return a test's name as words."""
    words = function.removeprefix("test_").replace("_", " ").replace("kill 9", "kill -9")
    words = (
        words.replace("ctrl c", "Ctrl-C")
        .replace("ioc", "IOC")
        .replace("hdf5", "HDF5")
        .replace("tiled", "Tiled")
    )
    return words[0].upper() + words[1:]


def rows(folder: Path) -> Iterator[str]:
    """Yield the table's rows, from the tests in `folder`."""
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            found = fields_of(ast.get_docstring(node) or "")
            if found:
                missing = [name for name in FIELDS if not found.get(name)]
                assert not missing, f"{path.name}: {node.name} lacks the fields {missing}"
                cells = (title_of(node.name), *(found[name] for name in FIELDS))
                yield (
                    "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"
                )


def table() -> str:
    """Return the table of interruptions."""
    return "\n".join([*HEADER, *rows(ROOT / "tests")])


def split(text: str) -> tuple[str, str, str]:
    """Return what stands before, between and behind the page's markers."""
    before, rest = text.split(BEGIN)
    between, behind = rest.split(END)
    return before, between, behind


def test_the_table_is_what_the_tests_say():
    _, between, _ = split(PAGE.read_text(encoding="utf-8"))
    command = f"python {Path(__file__).relative_to(ROOT)}"
    assert between.strip() == table(), f"the table is not up to date: run '{command}'"


def test_a_row_comes_from_a_tests_name_and_its_docstrings_fields(tmp_path):
    (tmp_path / "test_some.py").write_text(
        'def test_kill_9_in_mid_scan():\n    """It ends.\n\n    Reads: one\n    line | more\n'
        '    Left: closed\n    On disk: all\n    """\n\ndef test_other():\n    """Nothing."""\n'
    )
    assert list(rows(tmp_path)) == ["| Kill -9 in mid scan | one line \\| more | closed | all |"]


if __name__ == "__main__":
    before, _, behind = split(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{behind}", encoding="utf-8")
