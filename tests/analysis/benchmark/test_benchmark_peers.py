"""Peers: found or said to be missing, run in another process, judged by the truth, continued from a file."""

import io
import resource
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from analysis.benchmark import baseline, draw_cases, peer_programs, peers
from analysis.benchmark.peers import BASELINE, OURS, Installed, PeerRow, find_peers, peers_table, run_peers

CASE = draw_cases(range(9000, 9001), 1)[0]

STAND_IN = """
import sys
import numpy as np
if len(sys.argv) == 2:
    print("version 1.2")
else:
    given = np.load(sys.argv[2])
    counts = np.where(given["mask"], 0, given["counts"])
    field = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(np.sqrt(counts)))) * int(given["starts"])
    np.savez(sys.argv[3], object=field.astype(np.complex64), criterion=0.5, cpu_seconds=2.5)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr(peers, "PROGRAM", program)
    return Installed("cohere-core", sys.executable, "1.2")


def test_a_peer_is_found_with_its_version_and_the_others_are_missing(stand_in):
    found, missing = find_peers([sys.executable])
    assert found == [stand_in]
    assert missing == {"PyNX": "not installed", "Bonsu": "not installed"}


def test_a_peer_that_cannot_be_imported_is_missing(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import nothing_of_this_name", encoding="utf-8")
    monkeypatch.setattr(peers, "PROGRAM", program)
    found, missing = find_peers([sys.executable])
    assert not found
    assert missing["cohere-core"] == "not installed"


def test_an_interpreter_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'/nowhere/python' cannot be run"):
        find_peers(["/nowhere/python"])


def test_each_program_has_a_row_and_a_second_run_makes_none(stand_in, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    monkeypatch.setattr(baseline, "CYCLES", 2)
    monkeypatch.setattr(peers, "_by_us", lambda pattern: (peers._judged(pattern.truth, pattern), 1.0))
    rows = list(run_peers([CASE], [stand_in], 3, path))
    assert [(row.program, row.starts) for row in rows] == [(OURS, 0), ("cohere-core", 3), (BASELINE, 0)]
    assert rows[0].overlap == pytest.approx(1, abs=1e-4)
    assert 0 < rows[1].overlap < 0.95  # a transform without phases is no crystal
    assert rows[1].cpu_seconds == 2.5
    monkeypatch.setattr(peers, "_by_us", None)  # would fail if it were called again
    assert list(run_peers([CASE], [stand_in], 3, path)) == rows


def test_a_peer_that_fails_is_an_error_with_its_words(stand_in, tmp_path):
    peers.PROGRAM.write_text("raise RuntimeError('no such axis')", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"(?s)cohere-core 1\.2 failed: .*no such axis"):
        peers.phase_with(stand_in, CASE.pattern(), 1)


def test_a_file_of_another_table_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("seed,kind\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="give another file"):
        peers.read_peer_rows(path)


def test_the_table_counts_only_crystals_that_all_phased_and_gives_missing_peers_no_number():
    rows = [
        PeerRow(OURS, "0.1.0", 1, "2π", 0, 0.99, 2.0),
        PeerRow(OURS, "0.1.0", 2, "2π", 0, 0.99, 2.0),
        PeerRow(OURS, "0.1.0", 3, "2π", 0, 0.10, 999.0),  # the peer has not come to it
        PeerRow("cohere-core", "4.5.4", 1, "2π", 5, 0.97, 30.0),
        PeerRow("cohere-core", "4.5.4", 2, "2π", 5, 0.50, 30.0),
    ]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(peers_table(rows, {"PyNX": "not installed"}))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    cells = {line[0]: line[1:] for line in lines if len(line) > 1}
    assert cells["this package 0.1.0"][-3:] == ["2.0", "2.0", "1.0"]
    assert cells["cohere-core 4.5.4"][-3:] == ["30.0", "60.0", "30.0"]
    assert cells["cohere-core 4.5.4"][1].startswith("1/2")
    assert cells["PyNX"][0] == "not installed"
    assert not any(cells["PyNX"][1:])


def test_cpu_seconds_count_children():
    before = peer_programs.cpu_seconds()
    subprocess.run([sys.executable, "-c", "sum(i * i for i in range(3_000_000))"], check=True)
    own = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    assert peer_programs.cpu_seconds() > max(before, own)


@pytest.mark.slow
def test_cohere_finds_a_sphere(tmp_path):
    pytest.importorskip("cohere_core", reason="the extra [peers] is not installed")
    x = np.indices((32, 32, 32)) - 16
    sphere = (np.sqrt((x**2).sum(0)) < 7).astype(np.complex64)
    counts = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(sphere)))) ** 2
    found, error = peer_programs.cohere(counts, np.zeros(counts.shape, bool), 0.0, 1, 0)
    assert found.shape == counts.shape
    assert error < 0.2
