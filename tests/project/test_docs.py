"""The documentation says what is there: links, commands, Python blocks, plans, paths and cited sections."""

import ast
import importlib
import re
import shlex
import textwrap
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = ("analysis", "callbacks", "profile_collection", "vo2_plans", "tests")
MOST_WORDS = 1200

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(text, language):
    """Yield the contents of fenced blocks of a language; "" is none."""
    # All fences in turn: the end of one block is not the beginning of another without a language.
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    yield from (textwrap.dedent(block) for kind, block in found if kind == language)


def without_blocks(text):
    """Return a page without its fenced and indented blocks."""
    return re.sub(r"^    .*$", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S), flags=re.M)


def inline_code(text):
    """Yield what stands between single backticks, line breaks as blanks."""
    for found in re.findall(r"`([^`]+)`", without_blocks(text)):
        yield " ".join(found.split())


def anchors(path):
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- links ---------------------------------------------------------------------------------------------------


@pages
def test_relative_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page.read_text(encoding="utf-8"))):
        assert not re.match(r"\w+:", target), f"{target}: links stay inside the repository, works have a doi:"
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} does not exist"
        assert found.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert not anchor or anchor in anchors(found), f"{found.name} has no heading #{anchor}"


@pages
def test_paths_in_backticks_exist(page):
    for word in inline_code(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(?:analysis|callbacks|profile_collection|vo2_plans|tests|docs)/[\w./-]+", word):
            assert (ROOT / word).exists(), f"{word} does not exist"


@pages
def test_no_path_of_one_machine_stands_in_it(page):
    assert not re.search(r"(?<![\w.])/(?:work|home|root|tmp|Users)/", page.read_text(encoding="utf-8"))


def defined(path):
    """Return the names that a module has at its top, and those of its classes' methods."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ClassDef):
            functions = [item for item in node.body if isinstance(item, ast.FunctionDef)]
            names |= {f"{node.name}.{function.name}" for function in functions}
    return names


ARCHITECTURE = ROOT / "docs" / "architecture.md"
PLACES = re.findall(
    r"^\| [^|]+ \| `(\S+\.py)` \| `([\w.]+)` \|$",
    ARCHITECTURE.read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)


@pytest.mark.parametrize(("path", "name"), PLACES)
def test_what_is_looked_for_is_where_the_architecture_says(path, name):
    assert name in defined(ROOT / path)


@pages
def test_a_name_in_a_file_is_there(page):
    text = " ".join(without_blocks(page.read_text(encoding="utf-8")).split())
    before = re.findall(r"`([A-Za-z_]\w+)`(?:,? and `\w+`,?)? in `(\w[\w/.-]+\.py)`", text)
    behind = re.findall(r"`(\w[\w/.-]+\.py)` \(`([A-Za-z_]\w+)`", text)
    for name, path in [*before, *((name, path) for path, name in behind)]:
        assert name in defined(ROOT / path), f"{path} has no {name}"


def test_every_row_of_the_architecture_is_looked_at():
    _, table = ARCHITECTURE.read_text(encoding="utf-8").split("## Where is")
    rows = [line for line in table.splitlines() if line.startswith("| wh")]
    assert len(rows) == len(PLACES) >= 40


# -- commands ------------------------------------------------------------------------------------------------


def program():
    """Return the program ``vo2`` as click sees it."""
    name = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["vo2"]
    module, _, attribute = name.partition(":")
    return typer.main.get_command(getattr(importlib.import_module(module), attribute))


def shell_lines(text):
    """Yield the lines of blocks without a language, and of code in the text, that call ``vo2``."""
    lines = [line for block in blocks(text, "") for line in block.splitlines()]
    for line in [*lines, *inline_code(text)]:
        line = re.sub(r"^(?:[A-Z0-9_]+=\S* )+", "", line.strip())
        if re.match(r"vo2(?: |$)", line):
            yield re.sub(r"<[^>]+>", "X", line)


def check(line):
    """Parse a command line as the program would, without running it.

    A name alone may stand in running text although the command needs an argument.
    """
    _, *words = shlex.split(line.replace("…", ""), comments=True)
    command = program()
    path, parent = ["vo2"], None
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"'{line}': {' '.join(path)} has no command {name!r}"
        parent = command.context_class(command, info_name=path[-1], parent=parent)
        command = command.commands[name]
        path.append(name)
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    known.add("--help")
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"'{line}': {' '.join(path)} has no option {sorted(given - known)}"
    whole = words or not any(parameter.required for parameter in command.params)
    if whole and not hasattr(command, "commands") and "--help" not in given:
        command.make_context(path[-1], words, parent=parent)  # raises where a value is refused


@pages
def test_commands_exist_with_their_options(page):
    for line in shell_lines(page.read_text(encoding="utf-8")):
        check(line)


@pytest.mark.parametrize(
    "line", ["vo2 measure", "vo2 series --fast", "vo2 benchmark speed", "vo2 clean --keep x"]
)
def test_a_wrong_command_is_found(line):
    with pytest.raises(Exception, match="has no|valid"):
        check(line)


@pages
def test_make_targets_exist(page):
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(text, "") for line in block.splitlines()]
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in [*lines, *inline_code(text)]:
        if found := re.match(r"make ([a-z-]+)", line):
            assert found[1] in rules, f"the Makefile has no target {found[1]!r}"


def test_settings_are_those_of_a_session():
    text = (ROOT / "docs" / "beamline.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`VO2_([A-Z_]+)`", text)) - {"PHASING_THREADS", "PHASING_DEVICE"}
    assert told == {name.upper() for name in _settings()}


def _settings():
    """Return the names of a session's settings."""
    for path in sorted((ROOT / "profile_collection").rglob("settings.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == "Settings":
                fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
                return [field.id for field in fields if isinstance(field, ast.Name)]
    raise AssertionError("no class Settings was found")


# -- Python --------------------------------------------------------------------------------------------------


@pages
def test_python_blocks_parse(page):
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        ast.parse(block)


def plans():
    """Return the plans of the startup file: name to parameters."""
    tree = ast.parse((ROOT / "profile_collection" / "startup" / "10-plans.py").read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name: [argument.arg for argument in node.args.args] for node in found}


@pages
def test_plans_exist_with_their_parameters(page):
    text = page.read_text(encoding="utf-8")
    code = [*blocks(text, "python"), *(word for word in inline_code(text) if word.startswith("RE("))]
    for block in code:
        for node in ast.walk(ast.parse(block.replace("…", ""))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RE"):
                continue
            call = node.args[0]
            assert isinstance(call, ast.Call)
            parameters = plans()[call.func.id]
            assert {word.arg for word in call.keywords} <= set(parameters)
            assert len(call.args) <= len(parameters)


@pages
def test_imported_names_exist(page):
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in SOURCES:
                module = importlib.import_module(node.module)
                for name in node.names:
                    assert hasattr(module, name.name), f"{node.module} has no {name.name}"


# -- what is said --------------------------------------------------------------------------------------------


def messages(path):
    """Yield the texts of a module, what is put into them as an ellipsis."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_messages_that_troubleshooting_explains_are_in_the_code():
    told = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/troubleshooting.md").read_text("utf-8"), flags=re.M)
    assert len(told) >= 40
    texts = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for path in (path for folder in SOURCES[:-1] for path in sorted((ROOT / folder).rglob("*.py"))):
        texts += [" ".join(text.split()) for text in messages(path)]
    patterns = {one: ".*".join(re.escape(part.strip()) for part in one.split("…")) for one in told}
    assert [
        one for one, wanted in patterns.items() if not any(re.search(wanted, text) for text in texts)
    ] == []


def test_every_figure_of_a_report_is_explained():
    """By the names that `analysis.report.drawings` gives them; those of slices end in their axis."""
    text = (ROOT / "docs" / "plots.md").read_text(encoding="utf-8")
    tree = ast.parse((ROOT / "analysis/report/drawings.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Drawing"]
    drawn = {name.value for name in names if isinstance(name, ast.Constant)}
    drawn |= {f"phase_slices_{normal}" for normal in "xyz"}
    assert set(re.findall(r"^### (\w+)$", text, flags=re.MULTILINE)) == drawn


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_hooks_are_local_and_use_the_environments_tools():
    (found,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert found["repo"] == "local"
    assert [hook["language"] for hook in found["hooks"]] == ["system"] * len(found["hooks"])
    assert {hook["entry"].split()[0] for hook in found["hooks"]} == {
        f".venv/bin/{tool}" for tool in ("ruff", "mypy", "lint-imports")
    }


def test_the_citation_is_complete():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert found["version"] == project["version"]
    assert found["license"] == project["license"]
    holder = re.search(r"Copyright \(c\) \d+, (.+)", (ROOT / "LICENSE").read_text(encoding="utf-8"))
    assert holder
    assert [author["name"].lower() for author in found["authors"]] == [holder[1].lower()]
    assert all(work["authors"] and work["title"] for work in found["references"])


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", without_blocks(page.read_text(encoding="utf-8"))):
            waiting.append((page.parent / target).resolve())
    assert set(PAGES) <= reached


def sections():
    """Return the numbers of the sections of docs/science.md."""
    text = (ROOT / "docs" / "science.md").read_text(encoding="utf-8")
    return set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", text, flags=re.MULTILINE))


def cited(text):
    """Return the sections of docs/science.md that a text cites."""
    found = re.findall(r"science\.md\)? sections? ((?:\d+(?:\.\d+)?(?:, | and | to )?)+)", text)
    return {number for group in found for number in re.findall(r"\d+(?:\.\d+)?", group)}


@pytest.mark.parametrize("folder", [*SOURCES, "docs"])
def test_cited_sections_exist(folder):
    for path in sorted((ROOT / folder).rglob("*.py" if folder != "docs" else "*.md")):
        assert cited(" ".join(path.read_text(encoding="utf-8").split())) <= sections(), path


def test_citations_are_understood():
    text = "[science.md](../science.md) section 3.4, (docs/science.md sections 1.2, 2 and 3.11). science.md"
    assert cited(text) == {"3.4", "1.2", "2", "3.11"}


def test_the_numbers_of_the_experiment_are_those_of_the_code():
    """Section 1 of docs/science.md, computed from the unit cells."""
    import numpy as np

    from analysis.unit_cells import VO2_M1, VO2_RUTILE, bragg_angle, wavelength

    energy, distance, pixel, step = 9.0, 1310.0, 0.055, np.radians(0.01)
    m1, rutile, length = VO2_M1.d_spacing((0, 1, 1)), VO2_RUTILE.d_spacing((1, 1, 0)), wavelength(energy)
    q, towards = 2 * np.pi / m1, bragg_angle(m1, energy) - bragg_angle(rutile, energy)
    rocking, plane = 2 * np.pi / (q * step) / 10, length * distance / pixel / 10
    numbers = [
        f"{length:.4f} Å",
        f"{m1:.4f} Å",
        f"{q:.4f} Å⁻¹",
        f"{bragg_angle(m1, energy):.3f}°",
        f"{rutile:.4f} Å",
        f"{bragg_angle(rutile, energy):.3f}°",
        f"{distance * np.tan(np.radians(2 * towards)) / pixel:.0f} detector pixels",
        f"{towards / 0.01:.1f} steps",
        f"{1e4 * q * step:.3f}e-4 Å⁻¹",
        f"{1e4 * 2 * np.pi / length * pixel / distance:.3f}e-4 Å⁻¹",
        f"| {rocking:.0f} nm | 1100 nm | {rocking / 1100:.2f} times |",
        f"| {plane:.0f} nm | 1600 nm | {plane / 1600:.2f} times |",
        f"| 1800 nm | {plane / 1800:.2f} times |",
        f"{rocking / 1800:.2f} times and could not",
        f"one turn in {2 * np.pi / (q - 2 * np.pi / rutile) / 10:.0f} nm",
        f"+{1 - m1 / rutile:.4f}",
    ]
    text = " ".join((ROOT / "docs" / "science.md").read_text(encoding="utf-8").split())
    assert [number for number in numbers if number not in text] == []
