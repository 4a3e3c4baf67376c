"""``vo2 doctor``: looks at everything a series needs, before the night, and says what to do; changes nothing.

Each check is a function of the settings that returns findings, and works with nothing running.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from callbacks.locks import lock_holder
from callbacks.publish import UNPUBLISHED
from callbacks.queue import PendingRecord
from profile_collection.catalogue import client
from profile_collection.catalogue.server_process import ADDRESS_FILE, LOCK_FILE, LOG_FILE
from profile_collection.session import monitor_process, startup_checks
from profile_collection.session.settings import Settings
from profile_collection.session.simulation import described, twin_config, window_of
from vo2_plans.preflight import COMPRESSION, RESERVE_BYTES

Level = Literal["OK", "WARN", "FAIL"]

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
LARGEST_SKEW = 2.0
"""Seconds that another clock may be off: results are ordered by time."""
BYTES_PER_PIXEL, RESULTS_BYTES = 4, 5e8
"""Of a counter; room for the results of a series with report and export."""
CA_TIMEOUT = 5.0
"""Seconds that process variables are given to answer, all together."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Parameters
    ----------
    subject
        What was looked at.
    level
        OK, WARN (a series can be measured), or FAIL (it cannot, or not safely).
    said
        What is so.
    remedy
        What to do about it, empty where nothing need be done.
    """

    subject: str
    level: Level
    said: str
    remedy: str = ""


Check = Callable[[Settings], Iterable[Finding]]


def examine(settings: Settings, *, signals: bool = True) -> Iterator[Finding]:
    """Yield what all checks find, in the order in which one would look.

    Parameters
    ----------
    settings
    signals
        Whether process variables are asked, where the devices are EPICS'.
    """
    checks: tuple[Check, ...] = (
        python_and_packages, weights, experiment, folders, permissions, disk, clock, key_and_server,
        locks, unfinished, page, *((process_variables,) if signals else ()),
    )  # fmt: skip
    for check in checks:
        try:
            yield from check(settings)
        except Exception as error:  # noqa: BLE001  one that breaks down must not hide the others
            name = check.__name__.replace("_", " ")
            yield Finding(
                name, "FAIL", f"could not be looked at: {type(error).__name__}: {error}", "report this"
            )


# -- what runs ---------------------------------------------------------------------------------------------


def python_and_packages(_: Settings) -> Iterator[Finding]:
    """Check Python, torch, and every package against what this one asks for."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    own = importlib.metadata.distribution("vo2-bcdi")
    wanted = str(own.metadata["Requires-Python"] or ">=3.11")
    version = platform.python_version()
    good = SpecifierSet(wanted).contains(version, prereleases=True)
    remedy = "" if good else "make clean-env, then make PYTHON=<interpreter> quick"
    yield Finding("Python", "OK" if good else "FAIL", f"{version} at {sys.executable}", remedy)
    wrong = []
    for text in own.requires or ():
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} {found} instead of {need.specifier}")
    remedy = "pip install -c constraints.txt -e . in this environment" if wrong else ""
    said = "; ".join(wrong) or f"as asked for, torch {importlib.metadata.version('torch')}"
    yield Finding("packages", "FAIL" if wrong else "OK", said, remedy)


def weights(_: Settings) -> Iterator[Finding]:
    """Check the trained network: whole, and of this architecture."""
    from analysis.phasing.network.pretrained import load_pretrained

    try:
        found = load_pretrained()
    except ValueError as error:
        yield Finding("weights", "FAIL", str(error), "take the file from the repository again: git checkout")
        return
    yield Finding("weights", "OK", f"trained network, SHA-256 {found.hash[:12]}…")


def experiment(settings: Settings) -> Iterator[Finding]:
    """Check that what is to be measured can be read."""
    try:
        found = described(settings)
    except (ValueError, OSError) as error:
        yield Finding("experiment", "FAIL", str(error), "correct the file, or VO2_EXPERIMENT")
        return
    kelvin = ", ".join(f"{one:g}" for one in found.temperatures)
    yield Finding("experiment", "OK", f"{settings.sample or found.sample.name}, {kelvin} K")


def page(settings: Settings) -> Iterator[Finding]:
    """Check what the monitor's page is made of, and what shows it."""
    missing = [name for name in ("plotly", "starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding("page", "FAIL", f"{', '.join(missing)} missing", "pip install -c constraints.txt -e .")
    else:
        plotly = importlib.util.find_spec("plotly")
        script = Path(str(plotly.origin)).parent / "package_data" / "plotly.min.js" if plotly else Path()
        there = script.is_file()
        said = "its libraries are here, nothing is loaded from outside" if there else f"{script} is missing"
        remedy = "" if there else "install plotly again: pip install --force-reinstall plotly"
        yield Finding("page", "OK" if there else "FAIL", said, remedy)
    running = monitor_process.monitor_status(settings)
    yield Finding("monitor", "OK", running.uri if running else "none runs; 'vo2 monitor' starts one")
    browser = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    yield Finding(
        "Chromium",
        "OK" if browser else "WARN",
        browser or "not installed here",
        "" if browser else "any browser opens the page; for the tests of it: apt-get install chromium",
    )


# -- folders -----------------------------------------------------------------------------------------------


def folders(settings: Settings) -> Iterator[Finding]:
    """Check that frames and results can be written where they go; nothing is made."""
    for name, folder in (("data folder", settings.data), ("results folder", settings.results)):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        remedy = f"choose another with {'VO2_DATA' if folder is settings.data else 'VO2_RESULTS'}"
        if not there.is_dir():
            yield Finding(name, "FAIL", f"{there} is a file", remedy)
        elif not _can_write(there):
            yield Finding(name, "FAIL", f"nothing can be written into {there}", remedy)
        else:
            yield Finding(name, "OK", str(folder) + ("" if folder.exists() else ", made when it is needed"))


def _can_write(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-"):
            return True
    except OSError:
        return False


def permissions(settings: Settings) -> Iterator[Finding]:
    """Check that keys and logs are this user's alone."""
    private = settings.private
    if not private.is_dir():
        yield Finding("permissions", "OK", f"{private} is made by the first session, for this user alone")
        return
    names = (ADDRESS_FILE, monitor_process.ADDRESS_FILE, "settings.toml", LOG_FILE, settings.log.name)
    open_ = [
        path
        for path in (private, *(private / name for name in names))
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    foreign = private.stat().st_uid != os.getuid()
    if foreign:
        yield Finding(
            "permissions", "FAIL", f"{private} belongs to another user", "measure as that user, or elsewhere"
        )
    elif open_:
        orders = "; ".join(f"chmod go-rwx {path}" for path in open_)
        yield Finding("permissions", "FAIL", "others can read keys or logs of this session", orders)
    else:
        yield Finding("permissions", "OK", f"{private} is this user's alone")


def disk(settings: Settings) -> Iterator[Finding]:
    """Check that the frames of the configured series have room."""
    measured = described(settings)
    region = measured.region or (0, twin_config(settings).detector.shape[0]) * 2
    pixels = (region[1] - region[0]) * (region[3] - region[2])
    points = len(measured.temperatures) * window_of(measured).num
    need = points * pixels * BYTES_PER_PIXEL / COMPRESSION + RESERVE_BYTES
    places = (("disk of data", settings.data, need), ("disk of results", settings.results, RESULTS_BYTES))
    for name, folder, least in places:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        usage = shutil.disk_usage(there)
        said = f"{usage.free / 1e9:.1f} GB free, a series takes {least / 1e9:.1f} GB"
        level: Level = "FAIL" if usage.free < least else "WARN" if usage.free < 3 * least else "OK"
        remedy = "" if level == "OK" else "make room: 'vo2 clean --keep 3' lists old simulated series"
        yield Finding(name, level, said, remedy)


def clock(settings: Settings) -> Iterator[Finding]:
    """Check this machine's clock against the kernel's own opinion and the disk's."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        state = 0
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    if state == 5:  # TIME_ERROR, adjtimex(2)
        yield Finding(
            "clock", "WARN", f"{now}; the kernel does not hold it for synchronised", "start NTP or chrony"
        )
    else:
        yield Finding("clock", "OK", now)
    there = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".probe-") as probe:
            skew = Path(probe.name).stat().st_mtime - time.time()
    except OSError:
        return  # said by the check of the folders
    if abs(skew) > LARGEST_SKEW:
        yield Finding(
            "clock of the disk",
            "WARN",
            f"{there} is {skew:+.1f} s off this machine",
            "synchronise its server",
        )


# -- who is there ------------------------------------------------------------------------------------------


def key_and_server(settings: Settings) -> Iterator[Finding]:
    """Check the catalogue's server and the key that opens it."""
    if settings.tiled_uri:
        from callbacks.catalogue import Address, connect

        if not settings.tiled_api_key:
            yield Finding("key", "WARN", "no key is set for VO2_TILED_URI", "set VO2_TILED_API_KEY")
        try:
            connect(Address(settings.tiled_uri, settings.tiled_api_key)).close()
        except Exception as error:  # noqa: BLE001  whatever keeps us out
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            remedy = "start it, or correct VO2_TILED_URI and VO2_TILED_API_KEY"
            yield Finding("server", "FAIL", f"{settings.tiled_uri} does not let us in: {reason}", remedy)
            return
        yield Finding("server", "OK", settings.tiled_uri)
        return
    found = client.status(settings.data)
    if found is not None:
        yield Finding("server", "OK", f"{found.uri}, process {found.pid} since {found.since}")
        yield Finding("key", "OK", f"in {settings.private / ADDRESS_FILE}")
    elif _held(settings.private / LOCK_FILE):
        yield Finding(
            "server",
            "FAIL",
            f"{lock_holder(settings.private / LOCK_FILE)} holds the catalogue and does not answer to its key",
            f"read {settings.private / LOG_FILE}; end that process, then 'vo2 serve --status'",
        )
    else:
        yield Finding("server", "OK", "none runs; a session starts one, with a key of its own")


def _held(path: Path) -> bool:
    """Whether a process has a lock; nothing of it is changed."""
    try:
        with path.open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def locks(settings: Settings) -> Iterator[Finding]:
    """Check who holds the data folder."""
    path = settings.private / startup_checks.LOCK_FILE
    if _held(path):
        yield Finding(
            "session", "WARN", f"one measures here: {lock_holder(path)}", "close it before you begin another"
        )
    else:
        yield Finding("session", "OK", "none measures into this folder")
    claims = [one for one in (settings.private / "pending").glob("*.lock") if _held(one)]
    if claims:
        who = ", ".join(sorted({lock_holder(one) for one in claims}))
        yield Finding("analysis", "OK", f"{len(claims)} scans are being analysed by {who}")


def unfinished(settings: Settings) -> Iterator[Finding]:
    """Check what earlier sessions left undone, as far as it can be seen without the catalogue."""
    waiting = len(PendingRecord(settings.private / "pending").uids())
    kept = len(list(settings.backup.glob("*"))) if settings.backup.is_dir() else 0
    unpublished = len(list(settings.results.glob(f"*/{UNPUBLISHED}/*")))
    found = [
        (waiting, "scans are not analysed yet", "vo2 replay --pending"),
        (kept, "runs wait for the catalogue", "vo2 recover --backup"),
        (unpublished, "results wait for the catalogue", "the next session stores them"),
    ]
    for count, what, remedy in found:
        if count:
            yield Finding("unfinished", "WARN", f"{count} {what}", remedy)
    if not any(count for count, _, _ in found):
        yield Finding("unfinished", "OK", "nothing is left over")


def process_variables(settings: Settings) -> Iterator[Finding]:
    """Check that every process variable answers, and that its IOC's clock is ours; nothing is written."""
    if settings.devices != "epics":
        yield Finding("process variables", "OK", "none: the beamline is simulated in the session's process")
        return
    try:
        names = startup_checks.process_variables(settings)
    except ValueError as error:
        remedy = "correct that file; profile_collection/devices/epics has two to copy"
        yield Finding("process variables", "FAIL", str(error), remedy)
        return
    startup_checks.prepare_client(settings)  # before anything loads Channel Access
    from profile_collection.devices.epics.survey import survey

    found = survey(names, CA_TIMEOUT)
    where = settings.pv_file or "the soft IOC's names"
    if found.silent:
        first = ", ".join(found.silent[:5]) + (" …" if len(found.silent) > 5 else "")
        yield Finding(
            "process variables",
            "FAIL",
            f"{len(found.silent)} of {found.asked} do not answer: {first} ({where})",
            "start their IOC ('vo2 ioc' for the simulated one), check EPICS_CA_ADDR_LIST and the names",
        )
    else:
        yield Finding("process variables", "OK", f"all {found.asked} answer ({where})")
    if found.skew is not None and abs(found.skew) > LARGEST_SKEW:
        yield Finding(
            "clock of the IOC", "WARN", f"{found.skew:+.1f} s off this machine", "synchronise both with NTP"
        )
