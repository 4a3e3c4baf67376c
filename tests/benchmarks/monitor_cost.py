"""What ten browsers at the monitor cost the RunEngine: points paced at 0.2 s, the monitor on and off in turn.

Prints; judges nothing. ``make benchmark`` runs one scan; ``monitor_cost.py --scans 9`` more, for less noise.
A browser is here what it asks for: the stream of news and, at most once a second as the page does, the newest
frame. It draws elsewhere.

Blocks of points with the monitor running and held come in pairs, in random order within a pair: what else the
machine does meets both. A block counts by its median and by its mean, a confidence interval resamples pairs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
from live_cost import EXPOSURE, paced_session

from profile_collection.session.monitor_process import ensure_monitor, stop_monitor
from vo2_plans import EtaWindow, rocking_scan

BROWSERS = 10
BLOCK = 8
"""Points of a block; the first one belongs to neither."""
WINDOW = EtaWindow(16.6, 19.0, 0.01, EXPOSURE)
FRAME_EVERY = 1.0
"""Seconds between two frames that a page asks for."""
RESAMPLED = 5000

IDLE = """
from callbacks.jobs import ScanSummary


def analyse(job, address=None):
    return ScanSummary(job.run_uid, job.series_uid, 320.0, "heating", 1)
"""


async def browse(address, counts):
    """Ask, for ever, for what a page asks for; go on as a page does where the connection is lost."""
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        while True:
            try:
                await watch_page(client, address, counts)
            except httpx.HTTPError:
                counts["lost"] += 1
                await asyncio.sleep(2.0)


async def watch_page(client, address, counts):
    """Follow the stream of news, and ask for frames, until the connection is lost."""
    uri, section, series, asked = address.split("/?")[0], "", "", 0.0
    await client.get(address, follow_redirects=True)
    async with client.stream("GET", f"{uri}/events") as news:
        async for line in news.aiter_lines():
            if line.startswith("event: "):
                section = line.removeprefix("event: ")
                counts["news"] += 1
            elif line.startswith("data: ") and section == "heading":
                series = json.loads(line.removeprefix("data: "))["uid"]
            elif line.startswith("data: ") and section == "frame" and series:
                found = json.loads(line.removeprefix("data: "))
                if found and time.monotonic() - asked > FRAME_EVERY:
                    asked = time.monotonic()
                    path = f"{uri}/frame/{series}/{found['uid']}?v={found['points']}"
                    counts["frames"] += (await client.get(path)).status_code == 200


async def browse_all(address):
    """Be `BROWSERS` browsers until SIGTERM; then print what they were given."""
    counts = {"news": 0, "frames": 0, "lost": 0}
    browsing = asyncio.gather(*(browse(address, counts) for _ in range(BROWSERS)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, browsing.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await browsing
    print(json.dumps(counts))


class Stopwatch:
    """Times the points of a run while the processes run and are held in turn."""

    def __init__(self, processes, rng):
        self.processes, self.rng = processes, rng
        self.points, self.last, self.running = 0, None, True
        self.block, self.pair, self.pairs = [], {}, []

    def __call__(self, name, doc):
        now = time.perf_counter()
        if self.last is None:
            self._begin()
        elif self.points % BLOCK:
            self.block.append(now - self.last)
        self.points, self.last = self.points + 1, now
        if self.points % BLOCK == 0:
            self._end()

    def stop(self, name, doc):
        """Forget the time between two scans, and a block that they would have cut; all run meanwhile."""
        self.points, self.last, self.block, self.pair = 0, None, [], {}
        self.signal(signal.SIGCONT)

    def _begin(self):
        """Begin a pair, with the one or the other."""
        self._switch(bool(self.rng.integers(2)))

    def _end(self):
        self.pair[self.running], self.block = self.block, []
        if len(self.pair) == 2:
            self.pairs.append((self.pair[True], self.pair[False]))
            self.pair = {}
            self._begin()
        else:
            self._switch(not self.running)

    def _switch(self, running):
        self.running = running
        self.signal(signal.SIGCONT if running else signal.SIGSTOP)

    def signal(self, number):
        """Send a signal to all of them."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


def cpu_seconds(processes):
    """Return the CPU seconds that the processes have used."""
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


def interval(pairs, statistic, rng):
    """Return how much longer a point takes with the monitor, as a share, with 95 % limits by resampling.

    Parameters
    ----------
    pairs
        Durations in the two blocks of each pair, (pairs, 2, points) float64, s.
    statistic
        Makes one number of a block: `numpy.median` or `numpy.mean`.
    rng
    """
    on, off = statistic(pairs, axis=2).T
    shares = (on - off) / np.median(off)
    whole = np.median if statistic is np.median else np.mean
    drawn = [whole(rng.choice(shares, len(shares))) for _ in range(RESAMPLED)]
    return float(whole(shares)), *(float(limit) for limit in np.percentile(drawn, [2.5, 97.5]))


def measure(session, scans):
    """Return paired blocks of paced scans, what the browsers were given, and the monitor's CPU seconds."""
    status = ensure_monitor(session.settings)
    command = [sys.executable, __file__, "--browse", status.address]
    browsers = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    monitor = psutil.Process(status.pid)
    monitors = [monitor, *monitor.children(recursive=True)]
    time.sleep(10.0)
    watch = Stopwatch([browsers, *monitors], np.random.default_rng(0))
    before = cpu_seconds(monitors)
    tokens = [session.RE.subscribe(watch, "event"), session.RE.subscribe(watch.stop, "stop")]
    try:
        for number in range(scans):
            session.RE(rocking_scan(session.beamline, WINDOW))
            share, low, high = interval(np.array(watch.pairs), np.median, np.random.default_rng(0))
            so_far = f"{len(watch.pairs)} pairs, {share:+.2%} ({low:+.2%} to {high:+.2%})"
            print(f"scan {number + 1} of {scans}: {so_far}", file=sys.stderr, flush=True)
    finally:
        watch.signal(signal.SIGCONT)
        for token in tokens:
            session.RE.unsubscribe(token)
        used = cpu_seconds(monitors) - before
        browsers.terminate()
        given = browsers.communicate()[0]
        stop_monitor(session.settings)
    return np.array(watch.pairs), given.strip(), used


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=1, help="each takes about a minute")
    parser.add_argument("--browse", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.browse:
        asyncio.run(browse_all(asked.browse))
        return
    with tempfile.TemporaryDirectory() as folder, paced_session(Path(folder), IDLE) as session:
        pairs, given, used = measure(session, asked.scans)
    print(f"{BROWSERS} browsers at the monitor, on and off in turn: {len(pairs)} pairs of blocks")
    on, off = np.median(pairs, axis=(0, 2))
    seconds = pairs[:, 0].sum()
    print(f"median seconds a point: on {on:.4f}, off {off:.4f}; the browsers were given {given}")
    print(f"the monitor used {used:.1f} CPU s in {seconds:.0f} s of scanning with it")
    for name, statistic in (("medians", np.median), ("means", np.mean)):
        share, low, high = interval(pairs, statistic, np.random.default_rng(0))
        print(f"slower with them, by blocks' {name}: {share:+.2%}, 95 % confidence {low:+.2%} to {high:+.2%}")


if __name__ == "__main__":
    main()
