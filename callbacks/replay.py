"""Stored runs, sent through the live path again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from callbacks.catalogue import Catalogue, as_v3, find_run, last_series, series_runs

Consumer = Callable[[str, dict[str, Any]], Any]


def runs_to_replay(catalogue: Catalogue, which: Any) -> list[Any]:
    """Return the runs that `which` names.

    Parameters
    ----------
    catalogue
        Where they are stored.
    which
        Uid of a series, -1 for the last series, uid of a run, or a run (``db[-1]``).

    Raises
    ------
    UnknownRunError
        Nothing stored answers to it.
    """
    from callbacks.catalogue import UnknownRunError

    if str(which) == "-1":
        return series_runs(catalogue, last_series(catalogue))
    if isinstance(which, str):
        try:
            return series_runs(catalogue, which)
        except UnknownRunError as unknown:
            try:
                return [find_run(catalogue, which)]
            except UnknownRunError:
                raise unknown from None
    start = getattr(which, "start", None)
    if start is None:
        raise UnknownRunError(
            f"a stored run, the uid of a series or -1 was expected, {which!r} came; try replay(db[-1])"
        )
    return [find_run(catalogue, str(start["uid"]))]


def send(runs: Iterable[Any], *consumers: Consumer) -> int:
    """Send the documents of stored runs to `consumers`, run by run; return the number of runs."""
    count = 0
    for run in runs:
        for name, doc in as_v3(run).documents():
            for consumer in consumers:
                consumer(name, dict(doc))
        count += 1
    return count
