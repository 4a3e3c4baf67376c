"""Preview, early and final results of one series: when each comes, and how near it is to the final one.

Prints; judges nothing. ``python tests/benchmarks/stages.py`` measures the default series at 0.5 s a point,
``--quick`` the quick one. ``--stored RESULTS`` asks the network about the scans of a stored series instead;
with ``--data DATA`` it phases their first frames, as they would have been phased while they were measured.
"""

import argparse
import contextlib
import io
import json
import math
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import httpx
import numpy as np
import torch
from rich.console import Console

from analysis.phasing.first_guess import first_guess
from analysis.phasing.network.pretrained import load_pretrained
from analysis.phasing.pattern import checked_pattern
from analysis.phasing.projections import to_centre, to_corner
from analysis.phasing.registration import overlap
from analysis.phasing.schedules import resample
from analysis.results import read_scan
from callbacks.analyse import analyse_early
from callbacks.catalogue import derived_runs
from callbacks.collect import EarlyRule
from callbacks.journal.recovery import find_frame_file
from callbacks.live import LiveView
from profile_collection.catalogue.client import stop_server
from profile_collection.session import session as session_module
from profile_collection.session import simulation
from profile_collection.session.monitor_process import ensure_monitor, stop_monitor
from profile_collection.session.settings import Settings
from profile_collection.session.stored_runs import file_job
from profile_collection.twin import Clock

SHOWN = ("preview", "final")

EXPOSURE = 30.0
"""Seconds of the beamline that a point takes in the default series."""


@dataclass
class Scan:
    """When the last frame of a scan came and when its results did, seconds since 1970."""

    last_frame: float = 0.0
    final: float = float("nan")
    published: dict = field(default_factory=dict)  # by stage: when its derived run ended …
    shown: dict = field(default_factory=dict)  # … and when the monitor's page had its row
    early: list = field(default_factory=list)  # summary and object of each


class Watch(LiveView):
    """Remembers when results come, and reads early ones at once: the next replaces the file."""

    def __init__(self):
        super().__init__(Console(file=io.StringIO(), width=160))
        self.scans: dict[str, Scan] = {}
        self.summaries = {}

    def scan(self, uid):
        return self.scans.setdefault(uid, Scan())

    def other_result(self, summary):
        if summary.stage == "early":
            found = None if summary.error else read_scan(summary.result_file).object
            self.scan(summary.run_uid).early.append((summary, found))

    def scan_analysed(self, summary):
        self.scan(summary.run_uid).final = time.time()
        self.summaries[summary.run_uid] = summary
        super().scan_analysed(summary)


class LastFrame:
    """Notes when the last frame of each scan came."""

    def __init__(self, watch):
        self.watch, self.uid = watch, ""

    def __call__(self, name, doc):
        if name == "start":
            self.uid = doc["uid"] if doc.get("purpose") == "rocking" else ""
        elif name == "event" and self.uid:
            self.watch.scan(self.uid).last_frame = time.time()


def follow_page(address, watch):
    """Note, as a browser at the monitor is told of them, when previews and results are on the page."""
    with contextlib.suppress(httpx.HTTPError), httpx.Client(timeout=None, trust_env=False) as client:
        client.get(address, follow_redirects=True)
        with client.stream("GET", f"{address.split('/?')[0]}/events") as news:
            section = ""
            for line in news.iter_lines():
                if line.startswith("event: "):
                    section = line.removeprefix("event: ")
                elif line.startswith("data: ") and section == "results":
                    for row in json.loads(line.removeprefix("data: "))["rows"]:
                        watch.scan(row["uid"]).shown.setdefault(row["stage"], time.time())


def measure(folder, *, quick, pace, temperatures):
    """Measure a series and return what was seen of it."""
    watch = Watch()
    settings = Settings(data=folder / "data", results=folder / "results", quick=quick, early_results="on")
    clock = (lambda _, start: Clock(EXPOSURE / pace, start)) if pace else Clock
    with mock.patch.object(simulation, "Clock", clock):
        session = session_module.open_session(settings, view=watch)
        try:
            session.pipeline.queue.call(os.getpid).result()
            session.RE.subscribe(LastFrame(watch))
            page = ensure_monitor(settings).address
            threading.Thread(target=follow_page, args=(page, watch), daemon=True).start()
            session.RE(session.temperature_series(temperatures))
            session.drain()
            time.sleep(5.0)  # the page may be behind
            for uid, scan in watch.scans.items():
                for stage in SHOWN:
                    for run in derived_runs(session.catalogue, uid, stage)[:1]:
                        scan.published[stage] = run.metadata["stop"]["time"]
        finally:
            stop_monitor(settings)
            session.close()
            with contextlib.suppress(Exception):
                stop_server(settings.data)
    return watch


def report(watch):
    """Print a line for each result that is not final, and one for each scan."""
    for uid, scan in watch.scans.items():
        summary = watch.summaries[uid]
        if summary.error:
            print(f"{summary.temperature_setpoint:g} K: {summary.error}")
            continue
        final = read_scan(summary.result_file)
        path = summary.result_file.parents[1] / "previews" / summary.result_file.name
        print(f"{final.label}, final after {scan.final - scan.last_frame:.1f} s, trusted {final.trusted}")
        if path.exists():
            guess = read_scan(path)
            late = scan.published.get("preview", math.nan) - scan.last_frame
            print(
                f"  preview {late:.2f} s after the last frame, "
                f"χ² {guess.chi_squared:.3f}, "
                f"overlap with the final object {overlap(guess.object, final.object):.3f}"
            )
        late = scan.shown.get("final", math.nan) - scan.published.get("final", math.nan)
        print(f"  the result is on the monitor's page {late:+.2f} s after its publication ended")
        for early, found in scan.early:
            if early.error:
                print(f"  early: none, {early.error}")
                continue
            so_far = early.so_far
            alike = overlap(found, final.object) if found.shape == final.object.shape else float("nan")
            print(
                f"  early from {so_far.points} of {so_far.wanted} points "
                f"({so_far.points / so_far.wanted:.0%}), {early.seconds:.1f} s, trusted {early.trusted}, "
                f"crop covered {so_far.covered}, overlap with the one before {so_far.overlap:.3f}, "
                f"with the final object {alike:.4f}"
            )


def guesses(results):
    """Print how near the network's guess is to each stored object, from corrected and from raw counts."""
    network, rows = load_pretrained(), []
    for path in sorted(results.glob("scans/*.h5")):
        scan = read_scan(path)
        pattern = checked_pattern(
            scan.intensity, scan.mask, scan.pixel_kernel, scan.background, scan.given_flat_field, scan.dark
        )
        raw = to_centre((pattern.counts - pattern.background).clamp_min(0)).numpy()
        plain = torch.from_numpy(network.guess(raw, to_centre(pattern.mask).numpy(), threads=1)[0])
        plain = to_centre(resample(to_corner(plain)[None], pattern.shape)[0]).numpy()
        begun = time.process_time()
        guess = first_guess(scan)
        cost = time.process_time() - begun
        rows.append((overlap(guess.object, scan.object), overlap(plain, scan.object)))
        print(
            f"{scan.label:16} χ² {guess.chi_squared:.3f}, {cost:.2f} CPU s; overlap with the object: "
            f"from corrected counts {rows[-1][0]:.3f}, from counts as they are {rows[-1][1]:.3f}",
            flush=True,
        )
    print(f"mean: {np.mean(rows, axis=0).round(3)}")


def early(results, data, temperatures):
    """Print the early results that stored scans would have had, one after the other until one is settled."""
    settings, rule = Settings(data=data, results=results.parent), EarlyRule()
    for path in sorted(results.glob("scans/*.h5")):
        final = read_scan(path)
        if final.temperature_setpoint not in temperatures:
            continue
        job = file_job(find_frame_file(settings.frames, final.run_uid).path, settings)
        wanted, asked, before = len(job.eta), 0, None
        for points in range(wanted):
            if not rule.due(points, wanted, asked, math.inf):
                continue
            asked, begun = points, time.process_time()
            try:
                found, so_far = analyse_early(first_points(job, points), before)
            except ValueError as error:
                print(f"{final.label}, {points} points: none, {error}", flush=True)
                continue
            before = found
            print(
                f"{final.label}, {points} of {wanted} points ({points / wanted:.0%}): "
                f"{time.process_time() - begun:.1f} CPU s, trusted {found.trusted}, crop covered "
                f"{so_far.covered}, overlap with the one before {so_far.overlap:.4f}, "
                f"with the final object {overlap(found.object, final.object):.4f}",
                flush=True,
            )
            if found.trusted and so_far.covered and math.isfinite(so_far.overlap):
                break


def first_points(job, count):
    """Return the job of a scan's first points, as the collector makes it while the scan runs."""
    return replace(
        job,
        stage="early",
        frame_index=job.frame_index[:count],
        eta=job.eta[:count],
        monitor=job.monitor[:count],
        temperature=job.temperature[:count],
    )


def main():
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pace", type=float, default=0.5, help="seconds a point; 0 as fast as it goes")
    parser.add_argument("--temperatures", default="320,345,355", help="K")
    parser.add_argument("--stored", type=Path, help="results folder of a series")
    parser.add_argument("--data", type=Path, help="data folder with its frames")
    given = parser.parse_args()
    wanted = [float(one) for one in given.temperatures.split(",")]
    if given.stored:
        guesses(given.stored) if given.data is None else early(given.stored, given.data, wanted)
        return
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), quick=given.quick, pace=given.pace, temperatures=wanted))


if __name__ == "__main__":
    main()
