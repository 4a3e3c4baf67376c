"""What is published of a scan that still runs, for the plan that may end it.

A plan runs in the RunEngine's own thread, which must not wait for the catalogue. So a thread looks there from
time to time, and the plan is told at once what the last look has found.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from callbacks.catalogue import Address, Catalogue, connect, derived_runs
from profile_collection.session.settings import Settings
from vo2_plans import EarlyReading

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two looks: an early result takes several of them, a point of the paper's scan 30."""


class PublishedEarly:
    """Reads the early results that the catalogue has of a scan; called, it returns at once.

    Parameters
    ----------
    address
        Of the catalogue.
    every
        Seconds between two looks.
    """

    def __init__(self, address: Address, *, every: float = LOOK_EVERY) -> None:
        self._address, self._every = address, every
        self._lock = threading.Lock()
        self._catalogue: Catalogue | None = None
        self._run_uid = ""
        self._found: dict[str, EarlyReading] = {}  # by the uid of the derived run
        self._looked = -math.inf
        self._looking: threading.Thread | None = None

    def __call__(self, run_uid: str) -> list[EarlyReading]:
        """Return the early results of a scan found so far, by their points; look for more meanwhile."""
        with self._lock:
            if run_uid != self._run_uid:
                self._run_uid, self._found, self._looked = run_uid, {}, -math.inf
            idle = self._looking is None or not self._looking.is_alive()
            if idle and time.monotonic() - self._looked >= self._every:
                self._looked = time.monotonic()
                self._looking = threading.Thread(
                    target=self._look,
                    args=(run_uid, frozenset(self._found)),
                    name="early-results",
                    daemon=True,
                )
                self._looking.start()
            return sorted(self._found.values(), key=lambda one: one.points)

    def _look(self, run_uid: str, known: frozenset[str]) -> None:
        """Read what is new; a catalogue that does not answer is asked again the next time."""
        try:
            self._catalogue = self._catalogue or connect(self._address)
            runs = derived_runs(self._catalogue, run_uid, "early")
            new = {uid: _reading(run) for run in runs if (uid := run.metadata["start"]["uid"]) not in known}
        except Exception:
            logger.warning("the early results of %s could not be read", run_uid, exc_info=True)
            return
        with self._lock:
            if run_uid == self._run_uid:
                self._found |= {uid: reading for uid, reading in new.items() if reading is not None}

    def close(self) -> None:
        """Give the connection back."""
        if self._looking is not None:
            self._looking.join(self._every)
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None


def _reading(run: Any) -> EarlyReading | None:
    """Return an early result as a plan reads it; None of one that failed."""
    if "primary" not in run:
        return None
    row = run["primary"].base["internal"].read().to_dict("records")[0]
    return EarlyReading(
        points=int(row["points"]),
        trusted=bool(row["trusted"]),
        overlap=float(row["overlap_before"]),
        covered=bool(row["crop_covered"]),
    )


def require_early_results(settings: Settings, warn: Callable[[str], None]) -> None:
    """Refuse to end scans by results that the session does not make; warn where they may come too late.

    Raises
    ------
    ValueError
        Early results are switched off, or another analysis makes none.
    """
    usual = Settings.model_fields["analysis"].default
    if settings.early_results == "off" or settings.analysis != usual:
        why = (
            "VO2_EARLY_RESULTS=off"
            if settings.early_results == "off"
            else f"the analysis {settings.analysis!r}"
        )
        raise ValueError(
            f"until='trusted' ends a scan by its early results, and this session makes none ({why}): leave "
            "until out, or open the session with early results"
        )
    if settings.devices == "simulated" and not settings.realtime:
        warn(
            "the simulation runs faster than early results come: they may come too late, and a scan "
            "then goes to its end. At true pace (VO2_REALTIME=1, --realtime) there is time for them"
        )
