"""What ten browsers at the monitor cost the RunEngine: points paced at 0.2 s, the monitor on and off in turn.

Prints; judges nothing. ``make benchmark`` runs it; alone: ``python tests/benchmarks/monitor_cost.py``.
A browser is here what it asks for: the stream of news and, with each, the newest frame. It draws elsewhere.
"""

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
from live_cost import BLOCK, EXPOSURE, paced_session

from profile_collection.session.monitor_process import ensure_monitor, stop_monitor
from vo2_plans import EtaWindow, rocking_scan

BROWSERS = 10
WINDOW = EtaWindow(16.6, 19.0, 0.01, EXPOSURE)
RESAMPLED = 5000


async def browse(address):
    """Ask, for ever, for what a page asks for."""
    uri = address.split("/?")[0]
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        await client.get(address)
        async with client.stream("GET", f"{uri}/events") as news:
            section, series = "", ""
            async for line in news.aiter_lines():
                if line.startswith("event: "):
                    section = line.removeprefix("event: ")
                elif line.startswith("data: ") and section == "heading":
                    series = json.loads(line.removeprefix("data: "))["uid"]
                elif line.startswith("data: ") and section == "frame" and series:
                    found = json.loads(line.removeprefix("data: "))
                    if found:
                        await client.get(f"{uri}/frame/{series}/{found['uid']}?v={found['points']}")


async def browse_all(address):
    """Be `BROWSERS` browsers."""
    await asyncio.gather(*(browse(address) for _ in range(BROWSERS)))


class Stopwatch:
    """Times the points of a run while the processes run and are held in turn."""

    def __init__(self, pids):
        self.pids, self.points, self.last = pids, 0, None
        self.durations = {True: [], False: []}

    def __call__(self, name, doc):
        now, running = time.perf_counter(), (self.points // BLOCK) % 2 == 0
        if self.last is not None and self.points % BLOCK > 1:  # the first after a change belongs to neither
            self.durations[running].append(now - self.last)
        self.points, self.last = self.points + 1, now
        if self.points % BLOCK == 0:
            self.signal(signal.SIGSTOP if running else signal.SIGCONT)

    def signal(self, number):
        """Send a signal to all of them."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def interval(on, off, rng):
    """Return the ratio of the mean durations, and its 95 % confidence interval by resampling."""
    means = [rng.choice(on, len(on)).mean() / rng.choice(off, len(off)).mean() for _ in range(RESAMPLED)]
    return (float(np.mean(on) / np.mean(off)), *np.percentile(means, [2.5, 97.5]))


def measure(session):
    """Return the durations of a paced scan's points with monitor and browsers on, and off."""
    status = ensure_monitor(session.settings)
    browsers = subprocess.Popen([sys.executable, __file__, status.address])
    children = psutil.Process(status.pid).children(recursive=True)
    watch = Stopwatch([browsers.pid, status.pid, *(child.pid for child in children)])
    time.sleep(10.0)
    token = session.RE.subscribe(watch, "event")
    try:
        session.RE(rocking_scan(session.beamline, WINDOW))
    finally:
        watch.signal(signal.SIGCONT)
        session.RE.unsubscribe(token)
        browsers.terminate()
        browsers.wait()
        stop_monitor(session.settings)
    return np.array(watch.durations[True]), np.array(watch.durations[False])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(browse_all(sys.argv[1]))
        raise SystemExit
    with tempfile.TemporaryDirectory() as folder, paced_session(Path(folder)) as session:
        on, off = measure(session)
    ratio, low, high = interval(on, off, np.random.default_rng(0))
    print(f"seconds per point of a paced scan, {BROWSERS} browsers at the monitor on and off in turn")
    print(f"on {on.mean():.4f} ({len(on)} points)  off {off.mean():.4f} ({len(off)} points)")
    print(f"on over off {ratio:.4f}, 95 % confidence {low:.4f} to {high:.4f}")
