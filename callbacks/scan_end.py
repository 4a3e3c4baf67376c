"""Which scans may have fewer points than were asked for: those that a decision ended, as their documents say.

A plan may end a scan when its early results are known (start document: ``scan.num`` points at most,
``scan.least`` at least, ``stop_rule``). It then puts an event into the stream ``decisions`` of the run, and
the reason into the stop document. Nothing else makes a scan with fewer points a whole one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STREAM = "decisions"
"""Of the event that holds a decision."""

STOP = "stop"
"""What such an event has as ``decision_action`` where the scan ends; otherwise it goes on."""


def may_end_early(start: Mapping[str, Any]) -> bool:
    """Return whether a rule may end a scan before its last point."""
    return bool(start.get("stop_rule"))


def decided_after(start: Mapping[str, Any], decision: Mapping[str, Any], points: int) -> str:
    """Return why a decision ended a scan after `points`, in words; nothing where it did not.

    Parameters
    ----------
    start
        Start document.
    decision
        Data of the event in the stream ``decisions``, empty where there is none.
    points
        Number of the last point that came.
    """
    least = (start.get("scan") or {}).get("least")
    if not isinstance(least, int) or points < least:
        return ""
    if decision.get("decision_action") != STOP or int(decision.get("decision_points", -1)) != points:
        return ""
    return str(decision.get("decision_reason", ""))


def decided_end(start: Mapping[str, Any], stop: Mapping[str, Any] | None) -> str:
    """Return the reason of a stored scan that a decision ended, nothing of another: by start and stop alone.

    Only the plan gives a stop document its reason, so a run that was stopped by hand after a decision to go
    on has none.
    """
    if not stop or stop.get("exit_status") != "success":
        return ""
    scan, events = start.get("scan") or {}, stop.get("num_events") or {}
    points, least = int(events.get("primary", 0)), scan.get("least")
    if not isinstance(least, int) or points < least or not int(events.get(STREAM, 0)):
        return ""
    reason = str(stop.get("reason") or "")
    return reason if reason.startswith(f"stopped at {points} of {scan.get('num')} points: ") else ""


def is_complete(start: Mapping[str, Any], stop: Mapping[str, Any] | None) -> bool:
    """Return whether a run ended well, with all its points or by a decision."""
    if not stop or stop.get("exit_status") != "success":
        return False
    points = int((stop.get("num_events") or {}).get("primary", 0))
    return points >= int((start.get("scan") or {}).get("num") or 0) or bool(decided_end(start, stop))


def closer_asked(start: Mapping[str, Any], overlap: float) -> bool:
    """Return whether a scan's rule asks for early results that agree better than to `overlap`."""
    rule = start.get("stop_rule") or {}
    return not overlap >= float(rule.get("overlap", -1.0))
