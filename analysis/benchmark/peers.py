"""The same judging crystals phased by this package, by its baseline and by other programs for BCDI.

Every program gets the counts, mask and background of a pattern and says by its own criterion which of its
starts is best; the truth judges. Peers run in processes of their own (`peer_programs`), possibly of another
interpreter.
"""

from __future__ import annotations

import csv
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.metadata import version
from os import cpu_count, environ
from pathlib import Path

import numpy as np
from rich.table import Table

from analysis.benchmark.baseline import plain_phasing
from analysis.benchmark.generator import BenchmarkPattern, Case
from analysis.benchmark.judge import RIGHT, Share
from analysis.benchmark.peer_programs import PEERS
from analysis.phasing.reconstruction import reconstruct
from analysis.phasing.registration import overlap

OURS, BASELINE = "this package", "HIO + ER + shrink wrap, equal CPU s"
"""Programs beside the peers; the second is `baseline` with the CPU seconds of the first."""

NO_ADAPTER = {"PyNX": "pynx", "Bonsu": "bonsu"}
"""Programs that users have and that nobody has run through this benchmark yet, and their modules."""

PROGRAM = Path(__file__).with_name("peer_programs.py")

PATIENCE = 3600.0
"""Seconds that a peer may take for one crystal."""


@dataclass(frozen=True)
class PeerRow:
    """What one program made of one crystal.

    Parameters
    ----------
    program, version : str, str
    seed, kind : int, str
        Of the case.
    starts : int
        0 where the program chooses how many it makes.
    overlap : float
        With the truth, after twin, sub-voxel shift, ramp and global phase are removed.
    cpu_seconds : float
        Of the phasing, children included, without imports.
    """

    program: str
    version: str
    seed: int
    kind: str
    starts: int
    overlap: float
    cpu_seconds: float

    @property
    def key(self) -> tuple[str, str, int, str, int]:
        """Return what a row is of: it is not made a second time."""
        return self.program, self.version, self.seed, self.kind, self.starts


@dataclass(frozen=True)
class Installed:
    """A peer, the interpreter that has it, and its version."""

    name: str
    python: str
    version: str


def find_peers(pythons: Sequence[str]) -> tuple[list[Installed], dict[str, str]]:
    """Return the peers that can be run, each by the first of ``pythons`` that has it, and why others not."""
    found: list[Installed] = []
    missing: dict[str, str] = {}
    for name in PEERS:
        for python in pythons:
            answer = _ask(python, [str(PROGRAM), name])
            if answer.startswith("version "):
                found.append(Installed(name, python, answer.removeprefix("version ").strip()))
                break
        else:
            missing[name] = "not installed"
    for name, module in NO_ADAPTER.items():
        code = f"import importlib.util as u; print(u.find_spec({module!r}) is not None)"
        here = any(_ask(python, ["-c", code]).strip() == "True" for python in pythons)
        untried = "installed, but this benchmark has no tested way to run it"
        missing[name] = untried if here else "not installed"
    return found, missing


def _ask(python: str, arguments: Sequence[str]) -> str:
    """Return what ``python`` prints, nothing where it fails; a missing interpreter is an error."""
    try:
        done = subprocess.run([python, "-I", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ValueError(
            f"an interpreter that has a peer is wanted; {python!r} cannot be run: {error}"
        ) from None
    return done.stdout if done.returncode == 0 else ""


def phase_with(
    peer: Installed, pattern: BenchmarkPattern, starts: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.complex64]], float]:
    """Return the object (n0, n1, n2) complex64, origin at n//2, that a peer prefers, and its CPU seconds.

    Raises
    ------
    RuntimeError
        The peer failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "pattern.npz", Path(folder) / "found.npz"
        np.savez(
            given,
            counts=pattern.counts,
            mask=pattern.mask,
            background=pattern.background,
            starts=starts,
            seed=pattern.seed,
        )
        done = subprocess.run(
            [peer.python, "-I", str(PROGRAM), peer.name, str(given), str(found)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={**environ, "OMP_NUM_THREADS": "1"},
        )
        if done.returncode or not found.is_file():
            raise RuntimeError(f"{peer.name} {peer.version} failed: {(done.stderr or done.stdout)[-800:]}")
        with np.load(found) as result:
            return result["object"], float(result["cpu_seconds"])


def run_peers(
    cases: Sequence[Case], peers: Sequence[Installed], starts: int, path: Path
) -> Iterator[PeerRow]:
    """Yield a row for each case and program, case by case; rows in ``path`` (CSV) are not made again."""
    rows = {row.key: row for row in read_peer_rows(path)}
    ours = version("vo2-bcdi")
    for case in cases:
        label = (case.seed, case.kind.name)
        makers: dict[tuple[str, str, int, str, int], Callable[[BenchmarkPattern], tuple[float, float]]] = {
            (OURS, ours, *label, 0): _by_us
        }
        for peer in peers:
            makers[peer.name, peer.version, *label, starts] = partial(_by_peer, peer, starts=starts)
        pattern = None
        for key, make in makers.items():
            if key not in rows:
                pattern = pattern or case.pattern()
                rows[key] = _appended(path, PeerRow(*key, *make(pattern)))
            yield rows[key]
        beside = (BASELINE, ours, *label, 0)
        if beside not in rows:
            pattern = pattern or case.pattern()
            equal = rows[OURS, ours, *label, 0].cpu_seconds
            rows[beside] = _appended(path, PeerRow(*beside, *_by_baseline(pattern, equal)))
        yield rows[beside]


def _by_us(pattern: BenchmarkPattern) -> tuple[float, float]:
    began = time.process_time()
    found = reconstruct(pattern.counts, seed=pattern.seed, **pattern.arguments())
    used = time.process_time() - began
    return _judged(found.object, pattern), round(used, 3)


def _by_peer(peer: Installed, pattern: BenchmarkPattern, *, starts: int) -> tuple[float, float]:
    found, used = phase_with(peer, pattern, starts)
    return _judged(found, pattern), round(used, 3)


def _by_baseline(pattern: BenchmarkPattern, seconds: float) -> tuple[float, float]:
    plain = plain_phasing(
        pattern.counts, pattern.mask, pattern.background, cpu_seconds=seconds, seed=pattern.seed
    )
    return _judged(plain.object, pattern), round(plain.cpu_seconds, 3)


def _judged(found: np.ndarray[tuple[int, ...], np.dtype[np.complex64]], pattern: BenchmarkPattern) -> float:
    return round(overlap(found, pattern.truth), 6) if found.any() else 0.0


def _appended(path: Path, row: PeerRow) -> PeerRow:
    new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(PeerRow)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))
    return row


def read_peer_rows(path: Path) -> list[PeerRow]:
    """Return the rows of a CSV file, none where there is no file yet."""
    if not path.is_file():
        return []
    names = [field.name for field in fields(PeerRow)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != names:
            raise ValueError(
                f"a table of peers has the columns {names!r}; {str(path)!r} has {reader.fieldnames!r}: "
                "give another file"
            )
        return [
            PeerRow(
                one["program"],
                one["version"],
                int(one["seed"]),
                one["kind"],
                int(one["starts"]),
                float(one["overlap"]),
                float(one["cpu_seconds"]),
            )
            for one in reader
        ]


def machine() -> str:
    """Return processor, cores, system and Python of this machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [
            line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")
        ]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"{model}, {cpu_count()} cores, {platform.system()}, Python {python}, NumPy {np.__version__}"


def peers_table(rows: Sequence[PeerRow], missing: dict[str, str]) -> Table:
    """Return success and cost of each program on the crystals that all of them phased, beside our cost.

    A peer that could not be run has a line in words and no number.
    """
    programs = list(dict.fromkeys((row.program, row.version, row.starts) for row in rows))
    crystals = {(row.seed, row.kind) for row in rows}
    for program in programs:
        crystals &= {(r.seed, r.kind) for r in rows if (r.program, r.version, r.starts) == program}
    table = Table(
        title=f"{len(crystals)} crystals, one run; right is an overlap above {RIGHT}", caption=machine()
    )
    for name in (
        "program",
        "starts",
        "right",
        "median overlap",
        "CPU s a crystal",
        "CPU s a right one",
        "to ours",
    ):
        table.add_column(name, justify="left" if name == "program" else "right")
    costs = {}
    for program in programs:
        mine = [
            r for r in rows if (r.program, r.version, r.starts) == program and (r.seed, r.kind) in crystals
        ]
        hits = sum(row.overlap > RIGHT for row in mine)
        total = sum(row.cpu_seconds for row in mine)
        costs[program] = total / hits if hits else float("nan")
        ours = next((cost for (name, *_), cost in costs.items() if name == OURS), float("nan"))
        ratio = costs[program] / ours
        table.add_row(
            f"{program[0]} {program[1]}",
            str(program[2] or "its own"),
            str(Share(hits, len(mine))),
            f"{np.median([row.overlap for row in mine]):.4f}" if mine else "–",
            f"{total / len(mine):.1f}" if mine else "–",
            "–" if np.isnan(costs[program]) else f"{costs[program]:.1f}",
            "–" if np.isnan(ratio) else f"{ratio:.1f}",
        )
    for name, reason in missing.items():
        table.add_row(name, reason)
    return table
