"""The stored results of a series as the page's server sees them: read again where they were written since."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callbacks.jobs import CAPTION, Stage
from callbacks.series import FAILED, FOLDERS, REANALYSED, SCANS

ROW = {
    "order_parameter_rad": "order",
    "temperature_K": "temperature",
    "setpoint_K": "setpoint",
    "branch": "branch",
    "attempt": "attempt",
    "analysis": "analysis",
    "chi_squared": "chi_squared",
    "noise_ratio": "noise_ratio",
    "d_spacing_angstrom": "d_spacing",
    "d_spacing_error_angstrom": "d_spacing_error",
    "pc2_rad": "pc2",
    "compressive_fraction": "compressive",
    "neutral_fraction": "neutral",
    "tensile_fraction": "tensile",
    "missing_fraction": "missing",
    "surface_strain_sigma": "surface_sigma",
    "bulk_strain_sigma": "bulk_sigma",
    "bulk_strain_mean": "bulk_mean",
    "trusted": "trusted",
    "provisional": "provisional",
    "reasons": "reasons",
    "notes": "notes",
    "run_uid": "run_uid",
}
"""Columns of the order parameter's table and their names on the page."""


@dataclass
class Stored:
    """The results of a series as its folder has them; `refresh` reads what was written since.

    Attributes
    ----------
    folder
        Of the series.
    record
        What ``series.json`` holds.
    failures
        Stem of a scan's files to why it could not be analysed.
    files
        First eight characters of a run's uid to its result file.
    others
        Folder and first eight characters of a run's uid to its preview or early result, and when that was
        written.
    problems
        What could not be read, in sentences.
    stamp
        When the newest of what is final was written, 0 where there is nothing.
    """

    folder: Path
    record: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    others: dict[tuple[str, str], tuple[Path, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    stamp: float = 0.0

    def refresh(self) -> bool:
        """Read what changed; return whether anything did."""
        written, others = self._written(), self._others()
        if written == self.stamp:
            changed, self.others = others != self.others, others
            return changed
        self.stamp, self.others = written, others
        self.problems = []
        self._read_record()
        scans = self.folder / SCANS
        self.files = {path.stem.rsplit("_", 1)[-1]: path for path in sorted(scans.glob("*.h5"))}
        self.failures = {}
        for path in sorted(scans.glob(f"*{FAILED}")):
            try:
                note = json.loads(path.read_text(encoding="utf-8"))
                self.failures[path.name.removesuffix(FAILED)] = str(note["error"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                self.problems.append(f"{path.name} cannot be read ({error}): remove it.")
        self.problems += [text for path in self.files.values() if (text := damage(path, self.folder.name))]
        return True

    def _written(self) -> float:
        paths = [self.folder / "series.json", self.folder / SCANS]
        paths += [*(self.folder / SCANS).glob("*.h5"), *(self.folder / SCANS).glob(f"*{FAILED}")]
        times = [_time(path) for path in paths]
        return max(times) + 1e-3 * len(paths) if any(times) else 0.0

    def _others(self) -> dict[tuple[str, str], tuple[Path, float]]:
        paths = [path for stage in CAPTION for path in (self.folder / FOLDERS[stage]).glob("*.h5")]
        return {(path.parent.name, path.stem.rsplit("_", 1)[-1]): (path, _time(path)) for path in paths}

    def other(self, run_uid: str, stage: Stage) -> tuple[Path, float]:
        """Return the file of a run's preview or early result, and when it was written.

        Raises
        ------
        LookupError
            There is none.
        """
        try:
            return self.others[FOLDERS[stage], run_uid[:8]]
        except KeyError:
            raise LookupError(f"no {stage} result of the run {run_uid!r} is in {self.folder.name}") from None

    def _read_record(self) -> None:
        from analysis.results import read_series

        try:
            self.record = read_series(self.folder)
        except FileNotFoundError:
            self.record = {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.record = {}
            self.problems.append(
                f"series.json of {self.folder.name} is damaged ({error}). The scans' own results are not: "
                f"'vo2 replay {self.folder.name}' makes it again."
            )

    def path_of(self, run_uid: str) -> Path:
        """Return the result file of a run.

        Raises
        ------
        LookupError
            There is none.
        """
        try:
            first = self.files[run_uid[:8]]
        except KeyError:
            raise LookupError(f"no result of the run {run_uid!r} is in {self.folder.name}") from None
        rows = [row for row in self.record.get("temperatures", ()) if row.get("run_uid") == run_uid]
        analysis = (rows[0].get("analysis") if rows else None) or 1
        return first if analysis == 1 else self.folder / REANALYSED / f"{first.stem}_{analysis}.h5"


def damage(path: Path, series: str) -> str:
    """Return in a sentence what is wrong with a result file, "" where it opens."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            if "entry_1" not in file:
                raise OSError("it holds no entry_1")
    except OSError as error:
        reason = re.sub(r"\s+", " ", str(error)).split("(file signature")[0][:120]
        return (
            f"The result file {path.name} is damaged ({reason}). The measurement is not: "
            f"'vo2 replay {series}' analyses it again."
        )
    return ""


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
