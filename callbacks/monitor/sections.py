"""What the page says, in sections: progress, curves and temperatures of the measurement; stored results.

Each section is a plain value. The server sends those that changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.results import error_bar
from callbacks.jobs import CAPTION
from callbacks.monitor.follower import Derived, Measured, Run
from callbacks.monitor.stored_results import ROW, Stored
from callbacks.scan_end import decided_end
from callbacks.series import FOLDERS

MOST_IN_TRACE = 1500
"""Points of the temperature trace that are sent; more are thinned out."""


def heading(uid: str, measured: Measured, stored: Stored, *, current: bool, catalogue: str) -> dict[str, Any]:
    """Return what the series is, and what is wrong."""
    run = measured.latest
    start: Mapping[str, Any] = run.start if run else {}
    messages = [catalogue] if catalogue else []
    messages += stored.problems
    if not run and not stored.stamp and not catalogue:
        messages.append(
            f"No series {uid!r} is known: neither the catalogue nor the results have it. Choose one from the "
            "list above, or begin one with 'vo2 series'."
            if uid
            else "Nothing has been measured yet. The page fills as soon as a series begins ('vo2 series')."
        )
    going = bool(current and run and not _ended(run, stored))
    return {
        "uid": uid,
        "sample": start.get("sample", ""),
        "proposal": start.get("proposal", ""),
        "operator": start.get("operator", ""),
        "simulated": start.get("simulated"),
        "live": going,
        "messages": messages,
        "notes": stored.record.get("notes", []),
    }


def _ended(run: Run, stored: Stored) -> bool:
    """Whether the series' last scan was measured and its results are final, or was broken off."""
    if run.stop and run.stop.get("exit_status") != "success":
        return True
    return bool(_last(run) and run.stop and stored.record.get("final"))


def _last(run: Run) -> bool:
    """Whether nothing is measured after this run: it is the last scan, or the decision that ends a series."""
    if run.start.get("purpose") == "decision":
        return (run.start.get("decision") or {}).get("action", "measure") != "measure"
    last = int(run.start.get("series_index", 0)) + 1 >= int(run.start.get("series_size", 1))
    return last and run.start.get("purpose") in ("rocking", "guard")


def progress(measured: Measured, stored: Stored) -> dict[str, Any]:
    """Return how far the measurement has come, how long it takes yet, and when it ends.

    Seconds go by the series' pace so far, moves and soaking included, as in the session's own display.
    """
    run = measured.latest
    if run is None:
        rows = stored.record.get("temperatures", [])
        return {"activity": f"{len(rows)} temperatures analysed" if rows else "", "analysed": len(rows)}
    start, size = run.start, max(int(run.start.get("series_size", 1)), 1)
    index = int(start.get("series_index", 0))
    total = max(int((start.get("scan") or {}).get("num", 0)) or len(run.points), 1)
    decided = decided_end(start, run.stop)
    share = len(run.points) / total if start.get("purpose") == "rocking" else 0.0
    share = 1.0 if decided else share
    finished = [r for r in measured.rocking if r.stop.get("exit_status") == "success"]
    done = index + min(share, 1.0)
    first = min(int(r.start.get("series_index", 0)) for r in measured.runs.values())
    begun = min(float(r.start["time"]) for r in measured.runs.values())
    newest = max([float(p.get("time", 0)) for p in run.points.values()], default=float(start["time"]))
    pace = (newest - begun) / (done - first) if done > first else math.nan
    scan_pace = (newest - float(start["time"])) / len(run.points) if run.points else math.nan
    over = bool(run.stop and _last(run))
    analysed = {str(row["run_uid"]) for row in stored.record.get("temperatures", [])}
    done_with = {uid[:8] for uid in analysed} | {stem.rsplit("_", 1)[-1] for stem in stored.failures}
    waiting = sum(r.uid[:8] not in done_with for r in finished)
    return {
        "activity": _activity(run, waiting),
        "scan": index + 1,
        "scans": size,
        "points": len(run.points) if start.get("purpose") == "rocking" else None,
        "size": total if start.get("purpose") == "rocking" else None,
        "share": min(done / size, 1.0) if not over else 1.0,
        "scan_share": min(share, 1.0),
        "newest": _number(max(newest, float(run.stop.get("time", newest)))),
        "pace": _number(scan_pace),
        "between": bool(run.stop) and not over,
        "scan_ends": _number(newest + scan_pace * (total - len(run.points))) if not run.stop else None,
        "ends": _number(newest + pace * (size - done)) if not over else None,
        "analysed": len(analysed),
        "measured": len(finished),
        "setpoint": start.get("temperature_setpoint"),
    }


def _activity(run: Run, waiting: int) -> str:
    kelvin = f"{float(run.start.get('temperature_setpoint') or math.nan):g} K"
    if run.stop:
        status = run.stop.get("exit_status", "")
        if status != "success":
            return f"the scan at {kelvin} ended with '{status}' {run.stop.get('reason', '')}".strip()
        if _last(run):
            return "measured to its end" + (f", {waiting} in analysis" if waiting else "")
        done = {"align": "aligned at", "decision": "going to"}
        decided = decided_end(run.start, run.stop).partition(":")[0]
        where = f"{done.get(str(run.start.get('purpose')), 'between scans, after')} {kelvin}"
        return where + (f", {decided}" if decided else "")
    verbs = {
        "align": "aligning at",
        "rocking": "rocking at",
        "decision": "deciding for",
        "guard": "looking at the scan at",
    }
    verb = verbs.get(str(run.start.get("purpose")), "measuring at")
    return f"{verb} {kelvin}"


def trace(measured: Measured) -> dict[str, Any]:
    """Return temperature and setpoint against time (epoch seconds), thinned out."""
    points = [p for run in measured.rocking for _, p in sorted(run.points.items()) if "Tsample" in p]
    step = max(1, math.ceil(len(points) / MOST_IN_TRACE))
    kept = points[::step]
    if points and kept[-1] is not points[-1]:
        kept.append(points[-1])
    return {
        "time": [round(p.get("time", 0.0), 2) for p in kept],
        "temperature": [round(p["Tsample"], 4) for p in kept],
        "setpoint": [p.get("Tset") for p in kept],
    }


def curve(run: Run) -> dict[str, Any]:
    """Return the rocking curve of a run as far as it has come."""
    points = [p for _, p in sorted(run.points.items()) if "merlin_total" in p]
    axis = "th" if points and "eta" not in points[0] else "eta"
    return {
        "uid": run.uid,
        "label": label(run.start),
        "axis": axis,
        "angle": [round(p.get(axis, math.nan), 6) for p in points],
        "counts": [p["merlin_total"] for p in points],
        "size": int((run.start.get("scan") or {}).get("num", len(points))),
        "window": [(run.start.get("scan") or {}).get(name) for name in ("start", "stop")],
        "ended": bool(run.stop),
    }


def label(start: Mapping[str, Any]) -> str:
    """Return a scan's temperature in words, as results have it."""
    branch = start.get("branch", "heating")
    kelvin = f"{float(start.get('temperature_setpoint') or math.nan):g} K"
    return kelvin if branch == "heating" else f"{kelvin} {branch}"


def frame(measured: Measured) -> dict[str, Any]:
    """Return which frame is the newest: of the last run that has points."""
    runs = [run for run in measured.rocking if run.points]
    if not runs:
        return {}
    run = runs[-1]
    return {"uid": run.uid, "label": label(run.start), "points": len(run.points)}


def results(measured: Measured, stored: Stored) -> dict[str, Any]:
    """Return the analysed temperatures, each with its verdict, and the order parameter with its fit."""
    record = stored.record
    early = _not_final(measured)
    order_of = {run.uid: number for number, run in enumerate(measured.rocking)}
    rows: list[dict[str, Any]] = []
    for given, structure in _paired(record):
        row = {ours: given.get(theirs) for theirs, ours in ROW.items()}
        row["error"] = bar if math.isfinite(bar := error_bar(given)) else None
        row["stage"] = "final"
        row["label"] = _row_label(row, rows)
        row["uid"] = given.get("run_uid")
        row["number"] = order_of.get(str(row["uid"]), len(rows))
        row["islands"] = _islands(structure)
        row["readable"] = str(row["uid"])[:8] in stored.files
        row["version"] = stored.stamp
        row["verdict"], row["advice"] = verdict(row, stored.folder.name, record.get("unsettled", ()))
        rows.append(row)
        early.pop(str(row["uid"]), None)
    rows += [_early_row(one, stored, order_of) for one in early.values()]
    rows += [_failed_row(stem, why, stored.folder.name) for stem, why in stored.failures.items()]
    fit = record.get("fit_curve") or {}
    return {
        "rows": rows,
        "fit": {"temperature": fit.get("temperature_K", []), "order": fit.get("order_parameter_rad", [])},
        "fit_part": fit.get("leg") or fit.get("branch") or [],
        "transitions": record.get("transitions", []),
        "eigenvalues": record.get("eigenvalues_rad2", []),
        "explained": record.get("explained_ratio", []),
        "reference": record.get("reference"),
        "expected": record.get("expected"),
        "final": record.get("final"),
        "stamp": stored.stamp,
    }


def _paired(record: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    rows, structures = record.get("temperatures", []), record.get("structure", [])
    return [(row, structures[n] if n < len(structures) else {}) for n, row in enumerate(rows)]


def _row_label(row: Mapping[str, Any], before: list[dict[str, Any]]) -> str:
    name = label({"temperature_setpoint": row["setpoint"], "branch": row["branch"]})
    count = 1 + sum(one["label"].split(" (")[0] == name for one in before)
    return name if count == 1 else f"{name} ({count})"


def _islands(structure: Mapping[str, Any]) -> dict[str, int]:
    kinds = (structure.get("domains") or {}).get("islands") or {}
    return {kind: int(found.get("count", 0)) for kind, found in kinds.items()}


def verdict(row: Mapping[str, Any], series: str, unsettled: Sequence[str] = ()) -> tuple[str, str]:
    """Return the verdict on a temperature in words, and what to do; ``unsettled``: what the series lacks."""
    reasons = row["reasons"] if isinstance(row["reasons"], list) else str(row["reasons"] or "").split("; ")
    why = "; ".join(reason for reason in reasons if reason)
    if not row["trusted"]:
        return (
            f"not trusted: {why or 'the blind checks failed'}",
            "It is left out of the order parameter and drawn hollow. "
            f"'vo2 reanalyse {series} --seeds 5' looks from more starts; where it stays so, measure it "
            f"again, exposed longer: retake({row['setpoint'] or math.nan:g}).",
        )
    if row["provisional"]:
        lacks = "; ".join(unsettled) or why or "the series is not complete"
        return f"trusted, provisional: {lacks}", "It settles with the series."
    return "trusted", ""


def _not_final(measured: Measured) -> dict[str, Derived]:
    """Return for each scan, by uid, the newest early result, or the preview where there is none."""
    found = [one for one in measured.derived.values() if one.stage in CAPTION and one.stop and one.values]
    found = [one for one in found if not one.values.get("failed")]
    found.sort(key=lambda one: (one.stage == "early", float(one.start.get("time", 0))))
    return {str(one.start.get("parent_run_uid")): one for one in found}


def _early_row(one: Derived, stored: Stored, order_of: Mapping[str, int]) -> dict[str, Any]:
    """Return the row of a scan of which there is only a preview, or an early result."""
    values, uid = one.values, str(one.start.get("parent_run_uid"))
    path, written = stored.others.get((FOLDERS[one.stage], uid[:8]), (None, 0.0))
    row: dict[str, Any] = dict.fromkeys(ROW.values())
    row |= {name: values.get(name) for name in ("temperature", "chi_squared", "noise_ratio")}
    return row | {
        "uid": uid,
        "number": order_of.get(uid, len(order_of)),
        "label": label(one.start),
        "setpoint": one.start.get("temperature_setpoint"),
        "branch": one.start.get("branch"),
        "stage": one.stage,
        "trusted": bool(values.get("trusted")),
        "verdict": _so_far(one),
        "advice": "It counts nowhere; the final result replaces it.",
        "readable": path is not None,
        "version": written,
    }


def _so_far(one: Derived) -> str:
    """Return in words what a preview or an early result is worth."""
    values = one.values
    if one.stage != "early":
        return f"{one.stage}: {one.start.get('caption', CAPTION['preview'])}"
    words = [f"early, {'trusted so far' if values.get('trusted') else 'not trusted yet'}"]
    if values.get("points"):
        words.append(f"from {int(values['points'])} of {int(values['points_wanted'])} points")
    if math.isfinite(values.get("overlap_before") or math.nan):
        words.append(f"overlap {values['overlap_before']:.3f} with the one before")
    return ", ".join(words)


def _failed_row(stem: str, why: str, series: str) -> dict[str, Any]:
    """Return the row of a scan that could not be analysed."""
    kelvin, branch = (stem.split("_") + [""])[:2]
    row: dict[str, Any] = dict.fromkeys(ROW.values())
    return row | {
        "uid": stem.rsplit("_", 1)[-1],
        "label": kelvin.replace("K", " K"),
        "setpoint": _number(float(kelvin.removesuffix("K"))) if kelvin.endswith("K") else None,
        "branch": branch,
        "stage": "failed",
        "trusted": False,
        "verdict": f"failed: {why}",
        "advice": f"Its frames are kept: 'vo2 replay {series}' analyses them again.",
        "readable": False,
    }


def _number(value: float) -> float | None:
    return round(float(value), 3) if math.isfinite(value) else None
