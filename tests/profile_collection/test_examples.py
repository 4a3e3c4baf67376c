"""What the pages show is run: each Python block, and each command that is cheap; the rest is listed here.

That every command and option exists is held by tests/project/test_docs.py.
"""

import contextlib
import re
import shlex
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import profile_collection
from analysis.results import write_scan
from profile_collection.catalogue.client import ensure_server, stop_server
from profile_collection.cli.app import app
from profile_collection.session.settings import Settings

ROOT = Path(profile_collection.__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = (
    "vo2",
    "make",
    "ipython",
    "start-re-manager",
    "export",
    ".",
    ".venv/bin/python",
    ".venv/bin/pre-commit",
)

SERIES = "tests/integration/test_quick_series.py"
ELSEWHERE = {
    r"vo2 series": SERIES,
    r"vo2 truth": SERIES,
    r"vo2 replay -1": SERIES,
    r"vo2 ioc": SERIES,
    r"vo2 recover <": "tests/integration/test_interruptions.py",
    r"vo2 reconstruct": "tests/profile_collection/cli/test_cli.py",
    r"vo2 exposure": "tests/profile_collection/cli/test_exposure_command.py",
    r"vo2 repeat": "tests/callbacks/test_seeds.py",
    r"vo2 transfer": "tests/callbacks/test_transfer.py",
    r"vo2 doctor": "tests/profile_collection/session/test_doctor.py",
    r"ipython ": "tests/integration/test_interruptions.py",
    r"start-re-manager": "tests/integration/test_queue_server.py",
    r"make ": "tests/project/test_makefile.py",
}
"""Commands that take long, or serve until they are ended, and the test that runs them, or what they call."""

NOT_RUN = {
    r"vo2 monitor(?: -1)?$": "serves until it is ended; tests/callbacks/monitor opens the page",
    r"vo2 monitor --status": "says that none runs, and ends with 1, where none does",
    r"vo2 export -1 --format nexus": "asks for a stored run; tests/callbacks/test_nexus_export.py writes one",
    r"vo2 reanalyse": "asks for a stored series; tests/callbacks/test_reanalyse.py has what it is made of",
    r"vo2 inspect .*--scan": "asks for files of one beamline; tests/analysis/readers reads such files",
    r"vo2 ingest": "phases for a minute; tests/callbacks/test_ingest.py runs what it is made of",
    r"vo2 benchmark": "takes minutes to hours; tests/analysis/benchmark runs what it is made of",
    r"vo2 train": "takes hours; tests/analysis/phasing/network trains a few steps",
    r"\. |export ": "of the shell, which nothing of this repository answers",
    r"\.venv/bin/": "installs from a package index",
}
"""Lines that no test runs, and why."""


def blocks(language):
    """Return (page, contents) of all fenced blocks of a language."""
    fences = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", flags=re.MULTILINE | re.DOTALL)
    return [
        (page, textwrap.dedent(block))
        for page in PAGES
        for kind, block in fences.findall(page.read_text(encoding="utf-8"))
        if kind == language
    ]


def command_lines():
    """Return (page, line) of all commands in blocks without a language, each once, without its remark."""
    seen = {}
    for page, block in blocks(""):
        lines = [line for line in block.splitlines() if line.strip()]
        if lines[0].split()[0] in PROGRAMS:
            for line in lines:
                seen.setdefault(re.sub(r"\s+#.*", "", line).strip(), page)
    return [(page, line) for line, page in seen.items()]


def listed(line, where):
    """Return what a list says of a command, None if nothing."""
    bare = re.sub(r"^(?:[A-Z0-9_]+=\S* )+", "", line)
    return next((said for pattern, said in where.items() if re.match(pattern, bare)), None)


LINES = command_lines()
RUN = [(page, line) for page, line in LINES if not (listed(line, ELSEWHERE) or listed(line, NOT_RUN))]


def test_every_line_of_a_block_of_commands_begins_with_a_program():
    bare = [re.sub(r"^(?:[A-Z0-9_]+=\S* )+", "", line) for _, line in LINES]
    assert [line for line in bare if line.split()[0] not in PROGRAMS] == []


def test_what_is_run_elsewhere_is_there():
    for pattern, path in ELSEWHERE.items():
        assert any(listed(line, {pattern: path}) for _, line in LINES), f"no page has {pattern!r}"
        word = pattern.removeprefix("vo2 ").split()[0]
        assert re.search(rf"\b{word}\b", (ROOT / path).read_text(encoding="utf-8")), f"{path}: {word}"
    for pattern in NOT_RUN:
        assert any(listed(line, {pattern: "."}) for _, line in LINES), f"no page has {pattern!r}"


# -- commands ------------------------------------------------------------------------------------------------


def ball(side):
    """Return a round crystal with a bent phase, (side,) * 3 complex64."""
    at = np.indices((side,) * 3) - side // 2
    radius = np.linalg.norm(at, axis=0) / (side / 5)
    return (np.exp(-(radius**8)) * np.exp(0.3j * radius**2)).astype(np.complex64)


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_scan):
    """Return a folder with the files that the pages name, and a data folder with its server."""
    folder = tmp_path_factory.mktemp("examples")
    settings = Settings(data=folder / "data", results=folder / "results")
    for kelvin in (320.0, 335.0):
        told = {"voxel_size_nm": [29.0, 52.0, 51.0]}
        scan = make_scan(ball(24), kelvin, series_uid="SERIES", started=1e9 + kelvin, parameters=told)
        path = write_scan(folder / "results" / "SERIES" / "scans" / scan.filename, scan)
    for name in ("scan.h5", "320K_heating_1_a1b2c3d4.h5"):
        (folder / name).write_bytes(path.read_bytes())
    counts = np.random.default_rng(0).poisson(5.0, (10, 8, 9))
    np.savez(folder / "scan.npz", counts=counts)
    np.savez(folder / "mine.npz", counts=counts, angles=np.arange(10) / 100, monitor=np.ones(10))
    for name in ("1041304.nxs", "scan.nxs"):
        with h5py.File(folder / name, "w") as file:
            file["entry/instrument/detector/data"] = counts
    frames = folder / "data/raw/frames/SERIES/00_320K_heating_rocking_1_a1b2c3d4.h5"
    frames.parent.mkdir(parents=True)
    with h5py.File(frames, "w") as file:
        for name, values in (("data", counts), ("eta", np.arange(10) / 100), ("monitor", np.ones(10))):
            file[f"entry/instrument/merlin/{name}"] = values
    pattern = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(ball(32))))) ** 2
    pattern = np.random.default_rng(1).poisson(pattern / pattern.max() * 1e5)
    hidden = np.zeros(pattern.shape, dtype=bool)
    np.savez(folder / "pattern.npz", intensity=pattern, mask=hidden, monitor=np.full(32, 1000))
    ensure_server(settings.data)
    yield folder
    with contextlib.suppress(Exception):
        stop_server(settings.data)


def write_described(page, folder):
    """Write the TOML file that a page shows, under the name that its commands give it."""
    given = {
        "tutorial.md": ("mine.toml", "tutorial.md"),
        "measure-another-crystal.md": ("mine.toml", "add-a-reflection.md"),
    }
    name, shown_by = given.get(page.name, ("b200.toml", "add-a-reflection.md"))
    (text,) = [block for where, block in blocks("toml") if where.name == shown_by]
    (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), RUN, ids=[line for _, line in RUN])
def test_a_command_runs(page, line, place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("VO2_DATA", str(place / "data"))
    monkeypatch.setenv("VO2_RESULTS", str(place / "results"))
    monkeypatch.setenv("VO2_RENDERER", "matplotlib")
    write_described(page, place)
    program, *words = shlex.split(line)
    assert program == "vo2"
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert done.output


# -- Python --------------------------------------------------------------------------------------------------


def named(page, number):
    return f"{page.relative_to(ROOT)}-{number}"


PYTHON_NOT_RUN = {
    r"(?:status|RE|list_series)\(": (
        "asks for a running session; test_prompt.py runs these names in IPython, and "
        "tests/project/test_docs.py holds the parameters of the plans"
    ),
    r".*\breconstruct_file\(": "phases a file; tests/profile_collection/session/test_one_scan.py does",
}
"""Blocks of Python that are not run here, and why."""

ALONE = [
    (page, block) for page, block in blocks("python") if not listed(" ".join(block.split()), PYTHON_NOT_RUN)
]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), ALONE, ids=[named(page, n) for n, (page, _) in enumerate(ALONE)])
def test_a_block_of_python_runs(page, block, place, monkeypatch):
    monkeypatch.chdir(place)
    exec(compile(block, str(page), "exec"), {"__name__": "example"})
