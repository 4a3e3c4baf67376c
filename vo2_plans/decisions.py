"""A choice of a plan as something that Bluesky reads into an event."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any


class DecisionRecord:
    """A decision as something that can be read into an event.

    Parameters
    ----------
    choice : mapping
    rule : str
    size : int
        Scans that the series has at most.
    """

    name = "decision"
    parent = None
    hints: dict[str, Any] = {}  # noqa: RUF012  Bluesky's own name

    def __init__(self, choice: Mapping[str, Any], rule: str, size: int):
        self.values: dict[str, Any] = {
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

    @property
    def sentence(self) -> str:
        """The decision in words."""
        if self.values["decision_action"] != "measure":
            return f"the series ends: {self.values['decision_reason']}"
        return (
            f"next {self.values['decision_temperature']:g} K, {self.values['decision_branch']}: "
            f"{self.values['decision_reason']}"
        )

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
        units = {"decision_temperature": "K", "decision_waited": "s"}
        found = {}
        for key, value in self.values.items():
            kind, numpy_type = kinds[type(value)]
            found[key] = {"dtype": kind, "shape": [], "source": "vo2_plans", "units": units.get(key, "")}
            if numpy_type:
                found[key]["dtype_numpy"] = numpy_type
        return found

    def read_configuration(self) -> dict[str, Any]:
        """Return nothing; a decision has no configuration."""
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """Return nothing."""
        return {}
