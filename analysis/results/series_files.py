"""A series on disk: the order parameter as a CSV table, and all that judges it as a JSON record."""

import csv
import json
import math
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from analysis.results.atomic import replacing
from analysis.results.series import SeriesResult

TABLE = "order_parameter.csv"
RECORD = "series.json"

_COLUMNS = {
    "series_index": "scans.indices",
    "temperature_K": "scans.temperatures",
    "temperature_sigma_K": "scans.temperature_sigma",
    "setpoint_K": "scans.setpoints",
    "branch": "scans.branches",
    "leg": "scans.legs",
    "attempt": "scans.attempts",
    "analysis": "scans.analyses",
    "order_parameter_rad": "order.parameter",
    "fit_rad": "fit.values",
    "residual_rad": "fit.residual",
    "bootstrap_error_rad": "order.bootstrap_error",
    "seed_spread_rad": "order.seed_spread",
    "seeds": "order.seeds",
    "repeat_error_rad": "order.repeat_error",
    "circular_order_parameter": "order.circular",
    "followed_order_parameter_rad": "order.followed",
    "near_wrap_fraction": "order.near_wrap",
    "valid_fraction": "order.valid_fraction",
    "rms_phase_rad": "order.rms_phase",
    "overlap_with_neighbour": "gauge.overlap",
    "twin_margin": "gauge.margin",
    "d_spacing_angstrom": "lattice.d_spacing",
    "d_spacing_error_angstrom": "lattice.d_spacing_error",
    "d_spacing_ramp_angstrom": "lattice.d_spacing_ramp",
    "bragg_shift_per_angstrom": "lattice.bragg_shift",
    "chi_squared": "scans.chi_squared",
    "noise_ratio": "scans.noise_ratio",
    "resolution_nm": "scans.resolution",
    "monitor_spread": "scans.monitor_spread",
    "trusted": "trusted",
    "provisional": "provisional",
    "run_uid": "scans.run_uids",
}

_STRUCTURE = (
    "compressive_fraction",
    "neutral_fraction",
    "tensile_fraction",
    "missing_fraction",
    "missing_false_alarm_rate",
    "surface_strain_mean",
    "surface_strain_sigma",
    "bulk_strain_mean",
    "bulk_strain_sigma",
)


_TEXTS = ("reasons", "notes")
"""Sentences: a list in the record, in the table one text."""


def write_series(folder: Path, series: SeriesResult) -> tuple[Path, Path]:
    """Write ``order_parameter.csv`` and ``series.json`` into ``folder`` and return their paths.

    The CSV has one line per temperature under a header that names the units; the JSON holds the same with
    eigenvalues, fit curve and notes.
    """
    table, record = Path(folder) / TABLE, Path(folder) / RECORD
    rows = _rows(series)
    with replacing(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*_COLUMNS, "pc2_rad", *_STRUCTURE, *_TEXTS])
        writer.writeheader()
        writer.writerows(row | {name: "; ".join(row[name]) for name in _TEXTS} for row in rows)
    with replacing(record) as temporary:
        text = json.dumps(_record(series, rows), indent=2, allow_nan=False) + "\n"
        temporary.write_text(text, encoding="utf-8")
    return table, record


def read_order_parameter(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of ``order_parameter.csv`` in ``folder``, numbers as numbers and flags as bool."""
    path = Path(folder) / TABLE
    if not path.is_file():
        raise FileNotFoundError(f"{TABLE} is required in {str(folder)!r}: analyse the series first")
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _parse(text) for name, text in row.items()} for row in csv.DictReader(file)]


def error_bar(row: Mapping[str, Any]) -> float:
    """Return the error bar of a row's order parameter, rad, as in the figure (`Order.spread`), or NaN.

    Parameters
    ----------
    row : mapping
        Of ``order_parameter.csv``, or of the ``temperatures`` in ``series.json``.
    """
    seeds, repeats = row.get("seed_spread_rad"), row.get("repeat_error_rad")
    own = seeds if isinstance(seeds, float) else row.get("bootstrap_error_rad")
    return max((one for one in (own, repeats) if isinstance(one, float)), default=math.nan)


def read_series(folder: Path) -> dict[str, Any]:
    """Return what ``series.json`` in ``folder`` holds; what an older file lacks is empty or None.

    Keys are those that `write_series` gives: ``final``, ``temperatures`` (one mapping per row of the table),
    ``eigenvalues_rad2``, ``explained_ratio``, ``fit_curve``, ``transitions``, ``notes`` and others.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"{RECORD} is required in {str(folder)!r}: analyse the series first")
    record: dict[str, Any] = {
        "transitions": [],
        "structure": [],
        "circular_explained_ratio": None,
        "unsettled": [],
    }
    record |= json.loads(path.read_text(encoding="utf-8"))
    nothing = dict.fromkeys([*_COLUMNS, "pc2_rad", *_STRUCTURE, *_TEXTS])
    record["temperatures"] = [nothing | row for row in record["temperatures"]]
    curve = record["fit_curve"]
    curve.setdefault("branch", ["heating"] * len(curve["temperature_K"]))
    curve.setdefault("leg", [int(branch == "cooling") for branch in curve["branch"]])
    return record


def _rows(series: SeriesResult) -> list[dict[str, Any]]:
    rows = []
    for index in range(len(series)):
        row = {name: _cell(attrgetter(attribute)(series)[index]) for name, attribute in _COLUMNS.items()}
        row["pc2_rad"] = _cell(series.order.scores[index, 1])
        row |= _structure(
            series.structure.domains[index].record(), series.structure.surface_bulk[index].record()
        )
        row |= {"reasons": list(series.reasons[index]), "notes": list(series.scans.notes[index])}
        rows.append(row)
    return rows


def _structure(domains: Mapping[str, Any], shells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `_STRUCTURE` columns of one temperature."""
    fractions, regions = domains["fractions"], [shells[name] for name in ("surface", "bulk")]
    values = [
        *(fractions[name] for name in ("compressive", "neutral", "tensile", "missing")),
        domains["false_alarm_rate"],
        *(region[name] for region in regions for name in ("mean", "sigma")),
    ]
    return dict(zip(_STRUCTURE, values, strict=True))


def _record(series: SeriesResult, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "series_uid": series.series_uid,
        "reference": series.reference,
        "final": series.final,
        "expected": series.expected,
        "notes": list(series.notes),
        "unsettled": list(series.unsettled),
        "temperatures": rows,
        "eigenvalues_rad2": [_cell(value) for value in series.order.eigenvalues],
        "explained_ratio": [_cell(value) for value in series.order.explained_ratio],
        "fit_curve": {
            "temperature_K": series.fit.curve[0].tolist(),
            "order_parameter_rad": series.fit.curve[1].tolist(),
            "branch": [series.scans.branch_of(leg) for leg in series.fit.curve_legs],
            "leg": series.fit.curve_legs.tolist(),
        },
        "transitions": [transition.as_dict() for transition in series.fit.transitions],
        "circular_explained_ratio": _cell(series.order.circular_ratio),
        "structure": [
            {"domains": domains.record(), "surface_bulk": shells.record()}
            for domains, shells in zip(series.structure.domains, series.structure.surface_bulk, strict=True)
        ],
        "voxel_basis_nm": series.gauge.basis.tolist(),
        "support_voxels": int(np.count_nonzero(series.gauge.support)),
    }


def _cell(value: Any) -> Any:
    """Return a plain Python value; a number that is not finite becomes None, for JSON has none."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain


def _parse(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text)
    except ValueError:
        return text
