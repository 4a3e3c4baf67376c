"""The catalogue of runs: where it is, how to reach it, and its two halves.

The root is a plain container. Its child ``raw`` takes the RunEngine's documents, ``processed`` the derived
runs, so that ``db[-1]`` is always a measurement. Everything here reads runs through ``.v3``: after one
``db[-1]`` of the databroker facade every other Tiled client in that process answers in its V2 form.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from callbacks.jobs import FINAL, Stage, enough_points, stage_of
from callbacks.scan_end import is_complete
from callbacks.series import last_started

os.environ.setdefault("TILED_RETRY_ATTEMPTS", "4")  # read when Tiled's client is first imported
os.environ.setdefault("TILED_RETRY_TIMEOUT", "5")  # its own 45 s would hold the measurement up

logger = logging.getLogger(__name__)

RAW = "raw"
PROCESSED = "processed"
_SPEC = ("CatalogOfBlueskyRuns", "3.0")


class UnknownRunError(LookupError):
    """No stored run or series answers to the name that was given."""


@dataclass(frozen=True)
class Address:
    """Where a Tiled server answers, and the key that opens it (kept out of repr, logs and documents)."""

    uri: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Catalogue:
    """Both halves of the catalogue, opened.

    Parameters
    ----------
    address
        Where it was opened.
    root, raw, processed
        Tiled clients of the root container and of its two children.
    """

    address: Address
    root: Any
    raw: Any
    processed: Any

    def close(self) -> None:
        """Give the connections back."""
        self.root.context.close()


def connect(address: Address) -> Catalogue:
    """Open the catalogue at `address`, making its two children where they are missing.

    Raises
    ------
    ConnectionError
        The server does not answer, or refuses the key.
    """
    import httpx
    from tiled.client.utils import ClientError

    try:
        # Tiled's client would try again for half a minute where nobody listens.
        httpx.get(address.uri, timeout=10.0, trust_env=not is_local(address))
        return _open(address)
    except (httpx.TransportError, ClientError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConnectionError(
            f"a Tiled server was expected at {address.uri!r} and did not let us in ({reason}); "
            "see 'vo2 serve --status', or correct VO2_TILED_URI and VO2_TILED_API_KEY"
        ) from error


def _open(address: Address) -> Catalogue:
    from tiled.client import from_context
    from tiled.client.context import Context

    # A proxy of the environment knows nothing of our loopback.
    context, _ = Context.from_any_uri(
        address.uri, api_key=address.api_key, show_progress=False, trust_env=not is_local(address)
    )
    try:
        root = from_context(context)
        return Catalogue(address, root, _child(root, RAW), _child(root, PROCESSED))
    except BaseException:
        context.close()
        raise


def is_local(address: Address) -> bool:
    """Whether the server is on this machine, where no proxy is between."""
    return urlsplit(address.uri).hostname in {"127.0.0.1", "::1", "localhost"}


def _child(root: Any, name: str) -> Any:
    """Open the child `name` of the root container, creating it once."""
    from tiled.client.utils import ClientError
    from tiled.structures.core import Spec

    if name in root:
        return root[name]
    try:
        return root.create_container(key=name, specs=[Spec(*_SPEC)])
    except ClientError:  # another process made it between the two calls
        return root[name]


def server_said(error: BaseException) -> str | None:
    """Return an error of the catalogue's server, or of the way to it, in one line; None of another."""
    if not any(one.__module__.partition(".")[0] in ("httpx", "tiled") for one in type(error).__mro__):
        return None
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"the catalogue's server could not do what was asked ({said}); what it says itself is in "
        "<data>/.vo2/server.log. Start it anew with 'vo2 serve --stop', then try again"
    )


def tiled_writer(container: Any, **options: Any) -> Callable[[str, Any], None]:
    """Return what writes documents into `container`, each row once.

    Bluesky's writer sends rows again where the server said 500, which it also says of rows that it has
    stored, and a run then has points twice.

    Parameters
    ----------
    container
        Tiled client of a half of the catalogue.
    **options
        Of ``TiledWriter``.
    """
    from bluesky_tiled_plugins import TiledWriter
    from bluesky_tiled_plugins.writing import tiled_writer as plugin

    plugin._RunWriter._append_with_retry = _append_once  # noqa: SLF001  it offers no other way
    writer: Callable[[str, Any], None] = TiledWriter(container, **options)
    return writer


APPEND_AGAIN = (0.2, 1.0, 3.0)
"""Seconds before rows that the server did not take are looked for, and sent again where they are missing."""


def _append_once(_: Any, client: Any, rows: Any, stream: str) -> None:
    """Append ``rows`` (pyarrow, with a column seq_num) to a stream's table, unless they are there.

    Raises
    ------
    httpx.HTTPError
        The server did not take them; or the connection broke, and what became of them is not known.
    """
    import httpx

    for wait in (*APPEND_AGAIN, None):
        try:
            client.append_partition(0, rows)
            return
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500 or wait is None:
                raise
            logger.warning("%s of stream %r: %s", rows["seq_num"].to_pylist(), stream, error)
        time.sleep(wait)
        if set(rows["seq_num"].to_pylist()) <= set(client.read(["seq_num"])["seq_num"].tolist()):
            return


def as_v3(run: Any) -> Any:
    """Return a run's client in its V3 form, whatever the databroker facade made of it."""
    return getattr(run, "v3", run)


def _by_time(found: Any) -> list[Any]:
    """Return the runs of a search, oldest first."""
    return sorted((as_v3(run) for run in found.values()), key=lambda run: run.metadata["start"]["time"])


def find_run(catalogue: Catalogue, uid: str) -> Any:
    """Return the stored measurement whose uid begins with `uid`.

    Raises
    ------
    UnknownRunError
        None does, or several do.
    """
    try:
        return as_v3(catalogue.raw.v3[uid])
    except (KeyError, ValueError) as error:
        raise UnknownRunError(
            f"the uid of a stored run was expected, {uid!r} came, and the catalogue has no single run "
            "of that name; list them with 'list(db)' in IPython"
        ) from error


def series_runs(catalogue: Catalogue, series_uid: str, *, purpose: str = "rocking") -> list[Any]:
    """Return the stored runs of one series in the order they were measured.

    Raises
    ------
    UnknownRunError
        The catalogue holds no such series.
    """
    from tiled.queries import Key

    found = catalogue.raw.v3.search(Key("start.series_uid") == series_uid).search(
        Key("start.purpose") == purpose
    )
    runs = sorted((as_v3(run) for run in found.values()), key=lambda run: run.metadata["start"]["time"])
    if not runs:
        raise UnknownRunError(
            f"the uid of a stored series was expected, {series_uid!r} came, and the catalogue holds no scan "
            "of it; 'vo2 replay -1' takes the last one"
        )
    return runs


def last_series(catalogue: Catalogue) -> str:
    """Return the uid of the series measured last.

    Raises
    ------
    UnknownRunError
        Nothing was measured yet.
    """
    found = last_started(
        (str(start["series_uid"]), float(start["time"])) for start in rocking_starts(catalogue)
    )
    if found is None:
        raise UnknownRunError(
            "a stored series was expected and the catalogue is empty; measure one with 'vo2 series'"
        )
    return found


def rocking_starts(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the start documents of all stored rocking scans, oldest first."""
    from tiled.queries import Key

    found = catalogue.raw.v3.search(Key("start.purpose") == "rocking")
    return sorted((dict(run.metadata["start"]) for run in found.values()), key=lambda start: start["time"])


def _ended(run: Any, stage: Stage = FINAL) -> bool:
    """Return whether a derived run is of `stage` and has its stop document."""
    return run.metadata.get("stop") is not None and stage_of(run.metadata["start"]) == stage


def derived_runs(catalogue: Catalogue, parent_run_uid: str, stage: Stage = FINAL) -> list[Any]:
    """Return the derived runs of one measurement, oldest first: the final ones, or those of another stage.

    One that never ended, because its writer was killed, lacks rows: it is no result and is left out.
    """
    from tiled.queries import Key

    found = catalogue.processed.v3.search(Key("start.parent_run_uid") == parent_run_uid)
    return [run for run in _by_time(found) if _ended(run, stage)]


def unanalysed_runs(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the start documents of the rocking scans that can be analysed and have no final derived run.

    Those are scans that ended with all their points, and those that were stopped with enough of them.
    """
    from tiled.queries import Key

    results = [run for run in catalogue.processed.v3.values() if _ended(run)]
    derived = {run.metadata["start"].get("parent_run_uid") for run in results}
    found = catalogue.raw.v3.search(Key("start.purpose") == "rocking")
    return [
        dict(run.metadata["start"])
        for run in found.values()
        if run.metadata["start"]["uid"] not in derived
        and _can_be_analysed(run.metadata["start"], run.metadata.get("stop"))
    ]


def _can_be_analysed(start: Mapping[str, Any], stop: Mapping[str, Any] | None) -> bool:
    """Return whether a scan has ended, with all its points or enough of them."""
    if not stop:
        return False
    points = int((stop.get("num_events") or {}).get("primary", 0))
    return is_complete(start, stop) or enough_points(points, (start.get("scan") or {}).get("num"))
