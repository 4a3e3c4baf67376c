"""Follows the catalogue: told of news over websockets, looking by itself now and then, writing nothing.

One follower serves all browsers. Tiled's own subscriptions each keep a thread that looks ten times a second,
and after a restart of the server ask for a sequence that it never had; here one loop awaits all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from callbacks.catalogue import PROCESSED, RAW, Address, Catalogue, as_v3, connect
from callbacks.jobs import Stage

logger = logging.getLogger(__name__)

LOOK_EVERY, LOOK_WITHOUT_STREAMS = 10.0, 1.5
"""Seconds between two looks at the catalogue: beside its streams, which might lose something, and without."""
RETRY_AFTER = 2.0
ASK_AGAIN_AFTER = 60.0
"""Seconds after which streams that were not to be had are asked for again: the server may have been busy."""
NEWEST = 20
"""Runs that are looked at for the present series."""
LARGEST_MESSAGE = 20_000_000
PATIENCE = 60.0
"""Seconds that a busy server may take to answer a ping; a closed connection is noticed at once."""
COLUMNS = ("seq_num", "time", "eta", "th", "Tsample", "Tset", "merlin_total", "merlin_frame_index")


@dataclass
class Run:
    """A measured run as far as it is known.

    Attributes
    ----------
    start, stop
        Documents; an empty stop where the run still goes on.
    points
        seq_num to the values of `COLUMNS` that there are; of a repeated point the last counts.
    read
        Whether the points stored before were read.
    """

    start: dict[str, Any]
    stop: dict[str, Any] = field(default_factory=dict)
    points: dict[int, dict[str, float]] = field(default_factory=dict)
    read: bool = False

    @property
    def uid(self) -> str:
        """Uid of the run."""
        return str(self.start["uid"])

    @property
    def missing(self) -> bool:
        """Whether points are stored that are not known here."""
        expected = (self.stop.get("num_events") or {}).get("primary", 0)
        return len(self.points) < expected or not (self.read or self.stop)


@dataclass
class Derived:
    """A derived run: what the analysis made of a measured one."""

    start: dict[str, Any]
    stop: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """One of "preview", "early" and "final"; runs of before there were stages are final."""
        stage: Stage = self.start.get("stage", "final")
        return stage


@dataclass
class Measured:
    """A series as the catalogue has it: its runs, and its derived runs, oldest first."""

    runs: dict[str, Run] = field(default_factory=dict)
    derived: dict[str, Derived] = field(default_factory=dict)

    @property
    def rocking(self) -> list[Run]:
        """The rocking scans, oldest first."""
        found = [run for run in self.runs.values() if run.start.get("purpose") == "rocking"]
        return sorted(found, key=lambda run: float(run.start["time"]))

    @property
    def latest(self) -> Run | None:
        """The run begun last."""
        return max(self.runs.values(), key=lambda run: float(run.start["time"]), default=None)


@dataclass(frozen=True)
class _News:
    """A message of one of the catalogue's streams."""

    path: tuple[str, ...]
    message: dict[str, Any]


class Follower:
    """Keeps series as the catalogue has them.

    Parameters
    ----------
    find
        Gives the catalogue's address, None where none is served now; called again after each loss.
    changed
        Called, in the loop, with the uid of a series that has news; with "" where the catalogue came or went.

    Attributes
    ----------
    problem
        Why the catalogue cannot be followed, in a sentence; empty where it can.
    current
        Uid of the series measured last, or being measured.
    """

    def __init__(self, find: Callable[[], Address | None], changed: Callable[[str], None]) -> None:
        self._find = find
        self._changed = changed
        self.problem = "The catalogue is being opened."
        self.current = ""
        self._series: dict[str, Measured] = {}
        self._wanted: set[str] = set()
        self._listening: dict[tuple[str, ...], asyncio.Task[None]] = {}
        self._news: asyncio.Queue[_News | BaseException] = asyncio.Queue()
        self._catalogue: Catalogue | None = None
        self._asked = 0.0

    def series(self, uid: str) -> Measured:
        """Return what is known of a series; it is looked up where it was not asked for before."""
        if uid not in self._wanted:
            self._wanted.add(uid)
            self._news.put_nowait(_News((), {}))
        return self._series.get(uid, Measured())

    async def run(self) -> None:
        """Follow the catalogue for ever, through its restarts."""
        while True:
            try:
                await self._follow()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                logger.info("the catalogue was lost: %s", error)
                self._say(_lost(error))
            finally:
                await self._let_go()
            await asyncio.sleep(RETRY_AFTER)

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._changed("")

    async def _let_go(self) -> None:
        for task in self._listening.values():
            task.cancel()
        self._listening.clear()
        if self._catalogue is not None:
            with contextlib.suppress(Exception):
                self._catalogue.close()
        self._catalogue = None

    async def _follow(self) -> None:
        """Open the catalogue, read how it stands, then take what comes until it is lost."""
        address = await asyncio.to_thread(self._find)
        if address is None:
            raise ConnectionError("no server of it runs")
        self._catalogue = await asyncio.to_thread(connect, address)
        self._news = asyncio.Queue()
        self._listen_to_halves(address)
        await self._look()
        self._say("")
        while True:
            news = await self._next()
            if isinstance(news, BaseException):
                raise news
            if news is None or not news.path:
                await self._look()
            else:
                await self._take(address, news)

    async def _next(self) -> _News | BaseException | None:
        """Return the next message, None where there was none for a while."""
        streamed = all(self._streamed((half,)) for half in (RAW, PROCESSED))
        try:
            return await asyncio.wait_for(self._news.get(), LOOK_EVERY if streamed else LOOK_WITHOUT_STREAMS)
        except TimeoutError:
            return None

    # -- websockets ----------------------------------------------------------------------------------------

    def _listen(self, address: Address, path: tuple[str, ...]) -> None:
        """Listen to a node, if that is not done yet, from as far back as the server remembers."""
        if path not in self._listening:
            self._listening[path] = asyncio.create_task(self._receive(address, path))

    def _listen_to_halves(self, address: Address) -> None:
        """Listen to both halves; one that could not be listened to is asked again from time to time."""
        if time.monotonic() - self._asked > ASK_AGAIN_AFTER:
            for half in (RAW, PROCESSED):
                if (task := self._listening.get((half,))) is not None and task.done():
                    self._listening.pop((half,))
            self._asked = time.monotonic()
        for half in (RAW, PROCESSED):
            self._listen(address, (half,))

    def _streamed(self, path: tuple[str, ...]) -> bool:
        """Whether the server tells of this node, or of one below it that is as long as a run's table."""
        return any(
            not task.done() and listened[: len(path)] == path and len(listened) in (len(path), 4)
            for listened, task in self._listening.items()
        )

    async def _receive(self, address: Address, path: tuple[str, ...]) -> None:
        import msgpack
        from websockets.asyncio.client import connect as open_socket
        from websockets.exceptions import ConnectionClosedOK, InvalidStatus

        place = "/".join(quote(part, safe="") for part in path)
        uri = f"{address.uri.rstrip('/')}/api/v1/stream/single/{place}?envelope_format=msgpack&start=0"
        headers = {"Authorization": f"Apikey {address.api_key}"} if address.api_key else {}
        opened = False
        try:
            async with open_socket(
                "ws" + uri.removeprefix("http"),
                additional_headers=headers,
                max_size=LARGEST_MESSAGE,
                ping_timeout=PATIENCE,
                proxy=None,
            ) as socket:
                opened = True
                async for message in socket:
                    self._news.put_nowait(_News(path, msgpack.unpackb(message)))
            raise ConnectionError("its stream ended")  # noqa: TRY301
        except (InvalidStatus, ConnectionClosedOK) as refused:
            # A server that streams nothing, or a node that has no more to say: looking now and then will do.
            logger.info("no stream of %s: %s", place, refused)
        except Exception as error:
            # One that never opened, behind a proxy for instance, says nothing of the catalogue: looking will.
            logger.info("the stream of %s was %s: %s", place, "lost" if opened else "not to be had", error)
            if opened and len(path) == 1:
                self._news.put_nowait(error)

    async def _take(self, address: Address, news: _News) -> None:
        """Take a message: a run that begins or ends, a stream of it, points in its table."""
        kind, half = news.message.get("type", ""), news.path[0]
        if kind == "container-child-created" and len(news.path) < 3 + (half == RAW):
            child = (*news.path, str(news.message["key"]))
            if len(news.path) == 1:
                self._begin(half, news.message["metadata"])
            if half == RAW and (len(child) == 2 or child[2] == "primary") and child[-1] != "merlin_image":
                self._listen(address, child)
        elif kind == "container-child-metadata-updated" and len(news.path) == 1:
            self._begin(half, news.message["metadata"])
            await self._finish(half, news.message["metadata"])
        elif kind == "table-data" and half == RAW:
            self._points(news.path[1], news.message)

    def _begin(self, half: str, metadata: dict[str, Any]) -> None:
        """Note a run by its documents."""
        start, stop = dict(metadata.get("start") or {}), dict(metadata.get("stop") or {})
        uid = str(start.get("series_uid", ""))
        if not uid:
            return
        if half == RAW and start.get("time", 0) >= self._newest():
            self.current = uid
            self._wanted.add(uid)
        if uid not in self._wanted:
            return
        series = self._series.setdefault(uid, Measured())
        kept: dict[str, Any] = series.runs if half == RAW else series.derived
        known = kept.setdefault(str(start["uid"]), Run(start) if half == RAW else Derived(start))
        known.stop = stop or known.stop
        self._changed(uid)

    def _newest(self) -> float:
        run = self._series.get(self.current, Measured()).latest
        return float(run.start["time"]) if run else 0.0

    async def _finish(self, half: str, metadata: dict[str, Any]) -> None:
        """Complete a run that has ended; nobody listens to it any longer."""
        start = metadata.get("start") or {}
        for path in [path for path in self._listening if len(path) > 1 and path[1] == start.get("uid")]:
            self._listening.pop(path).cancel()
        series = self._series.get(str(start.get("series_uid", "")))
        if series is not None:
            await self._complete(series)
            self._changed(str(start["series_uid"]))

    def _points(self, uid: str, message: dict[str, Any]) -> None:
        """Take the rows that a message brings."""
        import pyarrow

        for series_uid, series in self._series.items():
            if uid in series.runs:
                table = pyarrow.ipc.open_file(pyarrow.py_buffer(message["payload"])).read_all()
                _add(series.runs[uid], table.to_pylist())
                self._changed(series_uid)

    # -- looking -------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Read what the catalogue has of the series that are wanted, and which is the newest."""
        catalogue = self._catalogue
        if catalogue is None:
            return
        self._listen_to_halves(catalogue.address)
        for metadata in await asyncio.to_thread(_newest_runs, catalogue):
            self._begin(RAW, metadata)
        for uid in sorted(self._wanted):
            if uid != self.current and uid in self._series and self._streamed((PROCESSED,)):
                continue  # no more is measured of it
            for half, found in (await asyncio.to_thread(_runs_of, catalogue, uid)).items():
                for metadata in found:
                    self._begin(half, metadata)
            series = self._series.setdefault(uid, Measured())
            for run in series.runs.values():
                if not run.stop:
                    self._listen(catalogue.address, (RAW, run.uid))
            await self._complete(series)
            self._changed(uid)

    async def _complete(self, series: Measured) -> None:
        """Read points and results that are stored and not known yet."""
        if self._catalogue is None:
            return
        for run in series.rocking:
            if run.missing or not (run.stop or self._streamed((RAW, run.uid, "primary"))):
                _add(run, await asyncio.to_thread(_stored_points, self._catalogue, run.uid))
                run.read = True
                self._changed(str(run.start["series_uid"]))
        for uid, derived in series.derived.items():
            if derived.stop and not derived.values:
                derived.values = await asyncio.to_thread(_stored_values, self._catalogue, uid)


def _lost(error: BaseException) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return (
        f"The catalogue does not answer since {time.strftime('%H:%M:%S')} ({reason}). The page shows what it "
        "knew and what is on disk; it goes on by itself when the catalogue is back (vo2 serve --status)."
    )


def _add(run: Run, rows: list[dict[str, Any]]) -> None:
    """Add table rows to a run's points."""
    for row in rows:
        run.points[int(row["seq_num"])] = {
            name: float(row[name]) for name in COLUMNS if row.get(name) is not None
        }


def _newest_runs(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the documents of the newest measured run that belongs to a series, in a list."""
    for run in catalogue.raw.v3.sort(("start.time", -1)).values()[:NEWEST]:
        metadata = dict(as_v3(run).metadata)
        if metadata["start"].get("series_uid"):
            return [metadata]
    return []


def _runs_of(catalogue: Catalogue, uid: str) -> dict[str, list[dict[str, Any]]]:
    """Return the documents of a series' runs, by the half of the catalogue they are in."""
    from tiled.queries import Key

    halves = {RAW: catalogue.raw, PROCESSED: catalogue.processed}
    return {
        half: [dict(run.metadata) for run in client.v3.search(Key("start.series_uid") == uid).values()]
        for half, client in halves.items()
    }


def _stored_points(catalogue: Catalogue, uid: str) -> list[dict[str, Any]]:
    """Return the rows of a run's table; none where it has none yet."""
    try:
        table = catalogue.raw.v3[uid]["primary"].base["internal"]
    except KeyError:
        return []
    names = [name for name in COLUMNS if name in table.columns]
    return list(table.read(names).to_dict("records"))


def _stored_values(catalogue: Catalogue, uid: str) -> dict[str, Any]:
    """Return the scalars of a derived run; {"failed": True} where it holds none."""
    try:
        rows = catalogue.processed.v3[uid]["primary"].base["internal"].read().to_dict("records")
    except KeyError:
        return {"failed": True}
    return {name: value for name, value in rows[-1].items() if not name.startswith("ts_")}
