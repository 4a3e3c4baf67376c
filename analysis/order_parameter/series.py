"""From the results of a temperature series to its order parameter."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.order_parameter.estimator import OrderParameter
from analysis.order_parameter.fit import best_fit
from analysis.order_parameter.gauge import TWIN_MARGIN, Gauge, fix_gauge, temperature_path
from analysis.order_parameter.series_result import SeriesResult
from analysis.structure import present

if TYPE_CHECKING:
    from analysis.results import ScanResult

Floats = NDArray[np.float64]

REFERENCE = 320.0
"""Setpoint of the reference state, K."""


def analyse_series(
    results: Sequence["ScanResult"], *, expected: int | None = None, reference: float = REFERENCE
) -> SeriesResult:
    """Return the order parameter of a series; it depends on the set of results, not on their order.

    Untrusted temperatures have a value, projected on the component that the trusted ones span, but no say in
    it nor in the fit. Without a trusted result at the reference temperature the nearest trusted one stands
    in, and everything is provisional; so it is while fewer than ``expected`` temperatures are there. A scan
    on its own (``expected`` 1) is compared with nothing and waits for nothing.

    Parameters
    ----------
    results : sequence of ScanResult
        Of one series. Of several attempts at a temperature the last trusted one counts.
    expected : int, optional
        How many temperatures the series is to have.
    reference : float, K
        Setpoint of the reference state, on the heating branch.
    """
    chosen, notes = _one_per_temperature(results)
    first, found = _reference_row(chosen, reference)
    gauge = fix_gauge(chosen, first)
    trusted = np.array([result.trusted for result in chosen]) & gauge.decided
    differences, valid = phase_differences(gauge)
    teaching = trusted if trusted.any() else np.ones(len(chosen), dtype=bool)
    estimator = OrderParameter().fit(differences[teaching])
    projected = estimator.transform(differences)
    scores = np.zeros((len(chosen), 2))
    scores[:, : min(2, projected.shape[1])] = projected[:, :2]
    temperatures = np.array([result.temperature for result in chosen])
    fit, curve = _fitted(temperature_path(chosen), temperatures, scores[:, 0], teaching)
    whole = _series_reasons(found, chosen[first].label, reference, len(chosen), expected)
    return SeriesResult(
        series_uid=chosen[0].series_uid,
        reference=chosen[first].label,
        temperatures=temperatures,
        temperature_sigma=np.array([result.temperature_sigma for result in chosen]),
        setpoints=np.array([result.temperature_setpoint for result in chosen]),
        branches=tuple(result.branch for result in chosen),
        run_uids=tuple(result.run_uid for result in chosen),
        labels=tuple(result.label for result in chosen),
        attempts=tuple(result.attempt for result in chosen),
        order_parameter=scores[:, 0],
        fit=fit,
        residual=scores[:, 0] - fit,
        curve=curve,
        scores=scores,
        eigenvalues=estimator.eigenvalues_,
        explained_ratio=estimator.explained_ratio_,
        valid_fraction=valid.mean(axis=1),
        rms_phase=np.sqrt((differences**2).sum(axis=1) / np.maximum(valid.sum(axis=1), 1)),
        overlap=gauge.overlap,
        twin_margin=gauge.margin,
        d_spacing=np.array([result.d_spacing for result in chosen]),
        chi_squared=np.array([result.chi_squared for result in chosen]),
        noise_ratio=np.array([result.noise_ratio for result in chosen]),
        trusted=trusted,
        provisional=np.full(len(chosen), bool(whole)),
        reasons=tuple(_row_reasons(chosen, gauge, row, whole) for row in range(len(chosen))),
        aligned=gauge.aligned,
        basis=gauge.basis,
        q_axis=gauge.q_axis,
        support=gauge.support,
        expected=expected,
        notes=(*notes, *whole),
    )


def phase_differences(gauge: Gauge) -> tuple[Floats, NDArray[np.bool_]]:
    """Return Δφ_n = −arg(ρ_n ρ_0*) inside S_0, and where both objects have density.

    A wrapped product, never a difference of wrapped phases; 0 where either object is missing.

    Returns
    -------
    tuple of ndarray
        (n, voxels of S_0) float64, rad, and the same shape bool.
    """
    support = gauge.support
    reference = gauge.aligned[gauge.reference]
    kept = np.stack([present(array, support)[support] for array in gauge.aligned])
    valid = kept & kept[gauge.reference]
    products = gauge.aligned[:, support] * np.conj(reference[support])
    differences = np.where(valid, -np.angle(products), 0.0).astype(np.float64)
    differences[gauge.reference] = 0.0
    return differences, valid


def _one_per_temperature(results: Sequence["ScanResult"]) -> tuple[list["ScanResult"], list[str]]:
    if not results:
        raise ValueError("at least one scan result is required for an order parameter; got none")
    series = sorted({result.series_uid for result in results})
    if len(series) > 1:
        raise ValueError(f"the results must be of one series; got {series!r}: analyse them apart")
    best: dict[tuple[str, float], ScanResult] = {}
    for result in sorted(results, key=lambda result: (result.trusted, result.attempt, result.run_uid)):
        best[result.branch, result.temperature_setpoint] = result
    chosen = sorted(
        best.values(), key=lambda result: (result.branch == "cooling", result.temperature_setpoint)
    )
    dropped = len(results) - len(chosen)
    return chosen, [f"{dropped} earlier attempts were left out"] if dropped else []


def _reference_row(chosen: Sequence["ScanResult"], reference: float) -> tuple[int, bool]:
    """Return the row of the reference, and whether it is the one that was asked for and trusted."""

    def preference(row: int) -> tuple[bool, bool, float, int]:
        result = chosen[row]
        distance = abs(result.temperature_setpoint - reference)
        return not result.trusted, result.branch == "cooling", distance, row

    first = min(range(len(chosen)), key=preference)
    result = chosen[first]
    found = (
        result.trusted and result.branch == "heating" and abs(result.temperature_setpoint - reference) < 0.5
    )
    return first, found


def _fitted(
    path: Floats, temperatures: Floats, values: Floats, used: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return the best fit at every temperature, and the curve to draw, by the way the sample went."""
    curve = best_fit(path[used], values[used])
    fine = np.linspace(path[used].min(), path[used].max(), 200)
    top = temperatures.max()
    return curve(path), np.stack([np.where(fine > top, 2 * top - fine, fine), curve(fine)])


def _series_reasons(
    found: bool, label: str, reference: float, count: int, expected: int | None
) -> tuple[str, ...]:
    reasons = []
    if not found and expected != 1:
        reasons.append(f"no trusted reference at {reference:g} K yet: {label} stands in for it")
    if expected is not None and count < expected:
        reasons.append(f"the series is not complete: {count} of {expected} temperatures")
    return tuple(reasons)


def _row_reasons(
    chosen: Sequence["ScanResult"], gauge: Gauge, row: int, whole: tuple[str, ...]
) -> tuple[str, ...]:
    reasons = (
        [] if chosen[row].trusted else list(chosen[row].reasons) or ["the reconstruction is not trusted"]
    )
    if not gauge.decided[row]:
        other = chosen[gauge.neighbour[row]].label
        reasons.append(
            f"twin undecided against {other}: margin {gauge.margin[row]:.3f} below {TWIN_MARGIN:g}"
        )
    return (*reasons, *whole)
