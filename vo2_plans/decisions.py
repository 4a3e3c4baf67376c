"""A choice of a plan as something that Bluesky reads into an event, and as a run of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import Msg, MsgGenerator

from vo2_plans.protocols import BeamlineLike
from vo2_plans.run_metadata import SeriesPlace

STREAM = "decisions"
"""Name of the stream in which choices stand."""


class Record:
    """Values of a decision as something that can be read into an event.

    Parameters
    ----------
    values : mapping
        Key to a truth value, a number or a text.
    units : mapping
        Key to unit, where it has one.
    """

    name = "decision"
    parent = None
    hints: dict[str, Any] = {}  # noqa: RUF012  Bluesky's own name

    def __init__(self, values: Mapping[str, Any], units: Mapping[str, str]):
        self.values, self.units = dict(values), units

    def read(self) -> dict[str, Any]:
        """Return all values."""
        now = time.time()
        return {key: {"value": value, "timestamp": now} for key, value in self.values.items()}

    def describe(self) -> dict[str, Any]:
        """Return what the values are."""
        kinds = {
            bool: ("boolean", "|b1"),
            int: ("integer", "<i8"),
            float: ("number", "<f8"),
            str: ("string", ""),
        }
        found = {}
        for key, value in self.values.items():
            kind, numpy_type = kinds[type(value)]
            found[key] = {"dtype": kind, "shape": [], "source": "vo2_plans", "units": self.units.get(key, "")}
            if numpy_type:
                found[key]["dtype_numpy"] = numpy_type
        return found

    def read_configuration(self) -> dict[str, Any]:
        """Return nothing; a decision has no configuration."""
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class DecisionRecord(Record):
    """A decision as something that can be read into an event.

    Parameters
    ----------
    choice : mapping
    rule : str
    size : int
        Scans that the series has at most.
    """

    def __init__(self, choice: Mapping[str, Any], rule: str, size: int):
        values = {
            "decision_action": str(choice["action"]),
            "decision_temperature": float(choice["temperature"]),
            "decision_branch": str(choice["branch"]),
            "decision_passage": int(choice["passage"]),
            "decision_rule": rule,
            "decision_reason": str(choice["reason"]),
            "decision_fallback": bool(choice["fallback"]),
            "decision_waited": float(choice.get("waited", 0.0)),
            "decision_scans_left": size - int(choice["index"]),
            "decision_inputs": json.dumps(choice.get("inputs", [])),
        }
        super().__init__(values, {"decision_temperature": "K", "decision_waited": "s"})

    @property
    def sentence(self) -> str:
        """The decision in words."""
        if self.values["decision_action"] != "measure":
            return f"the series ends: {self.values['decision_reason']}"
        return (
            f"next {self.values['decision_temperature']:g} K, {self.values['decision_branch']}: "
            f"{self.values['decision_reason']}"
        )


def record_decision(
    beamline: BeamlineLike,
    place: SeriesPlace,
    record: Record,
    sentence: str,
    decision: Mapping[str, Any],
    plan_name: str,
    purpose: str,
    md: Mapping[str, Any],
) -> MsgGenerator[None]:
    """Put a decision on record as a run of its own with the stream `STREAM`.

    Parameters
    ----------
    beamline, place
        Where and for what it was taken.
    record
        What is read into the event.
    sentence
        The decision in words, the reason in the stop document.
    decision
        What the start document says under ``decision``.
    plan_name, purpose
        Of the start document.
    md
        Goes into the start document.
    """
    document = {
        **beamline.metadata(),
        "plan_name": plan_name,
        "purpose": purpose,
        "series_uid": place.series_uid,
        "series_index": place.index,
        "series_size": place.size,
        "branch": place.branch,
        "temperature_setpoint": float(place.temperature),
        "decision": dict(decision),
        **md,
    }
    yield from bps.checkpoint()
    yield from bps.open_run(document)
    yield Msg("create", None, name=STREAM)
    yield Msg("read", record)
    yield Msg("save")
    yield from bps.close_run(exit_status="success", reason=sentence)
    yield from bps.checkpoint()
