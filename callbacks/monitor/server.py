"""Serves the page to any number of browsers that have the key, and tells them what changes.

What is sent is made once, whoever asks: sections as text, arrays as compressed messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from analysis.file_names import file_name
from callbacks.catalogue import Address
from callbacks.frames import FrameFileError
from callbacks.jobs import CAPTION, FINAL, Stage
from callbacks.monitor import pictures, sections
from callbacks.monitor.follower import Follower, Measured
from callbacks.monitor.stored_results import Stored
from callbacks.pool import make_pool
from callbacks.series import last_first, stored_starts

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
TELL_EVERY = 0.25
"""Least seconds between two messages to the browsers: points may come faster."""
STAT_EVERY = 1.0
"""Seconds between two looks whether results were written."""
KEEP_ALIVE = 15.0
KEPT_PICTURES = 300
NICE = 5
"""What the process that computes pictures adds to the niceness of the server."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded from anywhere else, and no other page may embed this one."""

SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class MonitorSettings:
    """What the monitor needs to know.

    Parameters
    ----------
    find
        Gives the catalogue's address, None where it is not served.
    results
        Folder of the analysed series.
    frames
        Folder of the frame files, one folder a series.
    key
        Opens the page.
    opened
        Folder of a stored series to show first; None shows the newest.
    """

    find: Callable[[], Address | None]
    results: Path
    frames: Path
    key: str = field(repr=False)
    opened: Path | None = None


@dataclass(eq=False)
class _View:
    """A series that somebody looks at; the name "" stands for the newest."""

    name: str
    stored: Stored
    texts: dict[str, str] = field(default_factory=dict)
    readers: set[asyncio.Queue[str]] = field(default_factory=set)


class Hub:
    """Keeps what the browsers are told, and tells them.

    Parameters
    ----------
    settings
    """

    def __init__(self, settings: MonitorSettings) -> None:
        self.settings = settings
        self.follower = Follower(settings.find, self._note)
        self._views: dict[str, _View] = {}
        self._news = asyncio.Event()
        self._pool = make_pool(nice=NICE)
        self._pictures: OrderedDict[tuple[Any, ...], asyncio.Task[bytes]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def running(self, _: Any = None) -> AsyncIterator[None]:
        """Follow and tell while the server lives."""
        self._pool.submit(pictures.warm_up)
        tasks = [asyncio.create_task(self.follower.run()), asyncio.create_task(self._tell())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _note(self, _: str) -> None:
        self._news.set()

    # -- series ------------------------------------------------------------------------------------------

    def folder_of(self, uid: str) -> Path:
        """Return the results folder of a series."""
        opened = self.settings.opened
        if opened is not None and opened.name == uid:
            return opened
        return self.settings.results / file_name(uid, otherwise="none")

    def known_series(self) -> list[str]:
        """Return the series that have results, and the present one, newest first."""
        found = last_first(stored_starts(self.settings.results))
        if self.settings.opened is not None and self.settings.opened.name not in found:
            found.append(self.settings.opened.name)
        current = self.follower.current
        return [current, *(uid for uid in found if uid != current)] if current else found

    def newest(self) -> str:
        """Return the series to show where none is named."""
        return self.follower.current or next(iter(self.known_series()), "")

    # -- telling -----------------------------------------------------------------------------------------

    async def messages(self, name: str) -> AsyncIterator[str]:
        """Yield what a browser that looks at series `name` is told, for ever."""
        view = self._views.setdefault(name, _View(name, Stored(self.folder_of(name))))
        queue: asyncio.Queue[str] = asyncio.Queue()
        for section, text in view.texts.items():
            queue.put_nowait(_event(section, text))
        view.readers.add(queue)
        self._news.set()
        try:
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), KEEP_ALIVE)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            view.readers.discard(queue)
            if not view.readers:
                self._views.pop(name, None)

    async def _tell(self) -> None:
        """Tell every reader what changed, at most every `TELL_EVERY` seconds."""
        looked = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), STAT_EVERY)
            told = self._news.is_set()
            self._news.clear()
            look = time.monotonic() - looked >= STAT_EVERY
            looked = time.monotonic() if look else looked
            for view in list(self._views.values()):
                try:
                    await self._renew(view, told=told, look=look or told)
                except Exception:
                    logger.exception("the page of %r could not be renewed", view.name)
            await asyncio.sleep(TELL_EVERY)

    async def _renew(self, view: _View, *, told: bool, look: bool) -> None:
        uid = view.name or self.newest()
        folder = self.folder_of(uid)
        if view.stored.folder != folder:
            view.stored = Stored(folder)
        fresh = await asyncio.to_thread(view.stored.refresh) if look else False
        if not (told or fresh or not view.texts):
            return
        measured = self.follower.series(uid) if uid else Measured()
        for section, value in self._sections(uid, measured, view.stored).items():
            text = json.dumps(value, allow_nan=False, separators=(",", ":"))
            if view.texts.get(section) != text:
                view.texts[section] = text
                for reader in view.readers:
                    reader.put_nowait(_event(section, text))

    def _sections(self, uid: str, measured: Measured, stored: Stored) -> dict[str, Any]:
        scans = measured.rocking
        current = uid == self.newest()
        heading = sections.heading(uid, measured, stored, current=current, catalogue=self.follower.problem)
        return {
            "series": {"known": self.known_series(), "newest": self.newest()},
            "heading": heading,
            "progress": sections.progress(measured, stored),
            "trace": sections.trace(measured),
            "curves": [sections.curve(run) for run in scans if run.stop],
            "curve": sections.curve(scans[-1]) if scans else {},
            "frame": sections.frame(measured),
            "results": sections.results(measured, stored),
        }

    # -- pictures ----------------------------------------------------------------------------------------

    async def picture(self, kind: str, uid: str, run: str, stage: Stage = FINAL) -> bytes:
        """Return a picture's message, computed once for all who ask; of a preview or an early result, too.

        Raises
        ------
        LookupError
            There is no such scan.
        ValueError
            Its file is damaged.
        """
        if kind == "frame":
            return await self._frame(uid, run)
        view = next((one for one in self._views.values() if one.stored.folder == self.folder_of(uid)), None)
        stored = view.stored if view else Stored(self.folder_of(uid))
        if not view:
            await asyncio.to_thread(stored.refresh)
        if kind == "diffraction":
            path = stored.path_of(run) if stage == FINAL else stored.other(run, stage)[0]
            return await self._once((kind, path, path.stat().st_mtime), partial(pictures.diffraction, path))
        make = {"crystal": pictures.crystal, "surface": pictures.surface_of}[kind]
        other = () if stage == FINAL else stored.other(run, stage)
        source = pictures.Source(stored.folder, stored.stamp if stored.files else 0.0, run, *other)
        return await self._once((kind, source), partial(make, source))

    async def _frame(self, uid: str, run: str) -> bytes:
        found = next((one for one in self.follower.series(uid).rocking if one.uid == run), None)
        folder = self.settings.frames / file_name(uid, otherwise="none")
        paths = [*folder.glob(f"*{file_name(run[:8], otherwise='none')}*.h5")]
        if found is None or not paths:
            raise LookupError(f"no frames of the run {run!r} are in {self.settings.frames}")
        key = ("frame", paths[0], len(found.points))
        return await self._once(key, partial(pictures.newest_frame, paths[0], found.start), thread=True)

    async def _once(self, key: tuple[Any, ...], work: Callable[[], bytes], *, thread: bool = False) -> bytes:
        task = self._pictures.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._compute(work, thread))
            self._pictures[key] = task
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return await asyncio.shield(task)

    async def _compute(self, work: Callable[[], bytes], thread: bool) -> bytes:
        if thread:
            return await asyncio.to_thread(work)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, work)
        except BrokenProcessPool:
            self._pool = make_pool(nice=NICE)
            return await loop.run_in_executor(self._pool, work)


def _event(section: str, text: str) -> str:
    return f"event: {section}\ndata: {text}\n\n"


# -- the web ---------------------------------------------------------------------------------------------


class _Keyed:
    """Lets in who has the key: in a cookie, or once in the address, which then loses it."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        cookie = f"vo2_monitor_{(scope.get('server') or ('', 0))[1]}"
        given = request.query_params.get("key")
        if given is not None and self._fits(given):
            left = [(name, value) for name, value in request.query_params.items() if name != "key"]
            query = "&".join(f"{quote(name)}={quote(value)}" for name, value in left)
            answer: Response = RedirectResponse(f"/?{query}" if query else "/", 303, headers=SAFE)
            answer.set_cookie(cookie, self._key, httponly=True, samesite="strict", max_age=30 * 86400)
            await answer(scope, receive, send)
        elif given is None and self._fits(request.cookies.get(cookie, "")):
            await self._app(scope, receive, send)
        else:
            await _refusal(given).__call__(scope, receive, send)

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._key.encode())


def _refusal(given: str | None) -> Response:
    """Return the page of those who have no key, or a wrong one."""
    said = (
        "This monitor opens with its key, and none came."
        if given is None
        else "The key that came is not this monitor's: it was mistyped, or the monitor was given a new one."
    )
    text = (PAGE / "key.html").read_text(encoding="utf-8").replace("{said}", escape(said))
    return HTMLResponse(text, 401 if given is None else 403, headers=SAFE)


def application(settings: MonitorSettings) -> ASGIApp:
    """Return the monitor as an ASGI application; it follows the catalogue while it is served."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        hub = Hub(settings)
        app.state.hub = hub
        async with hub.running():
            yield

    routes = [
        Route("/", _page),
        Route("/static/{name}", _static),
        Route("/palettes", _palettes),
        Route("/events", _events),
        Route("/{kind:str}/{series}/{run}", _picture),
    ]
    return _Keyed(Starlette(routes=routes, lifespan=lifespan), settings.key)


async def _page(_: Request) -> Response:
    return FileResponse(PAGE / "monitor.html", headers=SAFE)


async def _static(request: Request) -> Response:
    """Return a file of the page, or Plotly's library out of its Python package."""
    name = request.path_params["name"]
    if name == "plotly.min.js":
        import plotly

        path = Path(plotly.__file__).parent / "package_data" / name
        return FileResponse(path, headers={**SAFE, "Cache-Control": "private, max-age=86400"})
    if name in {"monitor.js", "crystal.js", "charts.js", "monitor.css"}:
        return FileResponse(PAGE / name, headers=SAFE)
    return _missing(f"no file {name!r} belongs to this page")


async def _palettes(_: Request) -> Response:
    return JSONResponse(await asyncio.to_thread(palettes), headers=SAFE)


def palettes() -> dict[str, Any]:
    """Return the figures' colours: 256 of each kind, as hexadecimal text."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    from analysis.figures.style import COUNTS_MAP, PHASE_MAP, TEMPERATURE_MAP

    names = {
        "phase": PHASE_MAP,
        "counts": COUNTS_MAP,
        "amplitude": "gray",
        "difference": "RdBu_r",
        "temperature": TEMPERATURE_MAP,
    }
    return {
        key: [to_hex(colormaps[name](level / 255)) for level in range(256)] for key, name in names.items()
    }


async def _events(request: Request) -> Response:
    hub: Hub = request.app.state.hub
    opened = hub.settings.opened
    name = request.query_params.get("series", opened.name if opened else "")
    headers = {**SAFE, "X-Accel-Buffering": "no"}
    return StreamingResponse(hub.messages(name), media_type="text/event-stream", headers=headers)


async def _picture(request: Request) -> Response:
    kind, series, run = (request.path_params[name] for name in ("kind", "series", "run"))
    if kind not in {"crystal", "surface", "diffraction", "frame"}:
        return _missing(f"no page {request.url.path!r} is here: go back to the first one")
    stage = request.query_params.get("stage", FINAL)
    if stage not in (FINAL, *CAPTION):
        return _missing(f"a stage of {(FINAL, *CAPTION)!r} was expected, {stage!r} came")
    try:
        body = await request.app.state.hub.picture(kind, series, run, stage)
    except (LookupError, FileNotFoundError, FrameFileError) as error:
        return _missing(str(error).strip("'\""))
    except (ValueError, OSError) as error:
        return JSONResponse({"problem": str(error)}, 422, headers=SAFE)
    headers = {**SAFE, "Content-Encoding": "gzip", "Cache-Control": "private, max-age=86400"}
    return Response(body, media_type="application/octet-stream", headers=headers)


def _missing(said: str) -> Response:
    return JSONResponse({"problem": said}, 404, headers=SAFE)
