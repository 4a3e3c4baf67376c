"""From the results of a temperature series to its order parameter, domains and surface strain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.experiment import Experiment
from analysis.order_parameter.estimator import (
    CircularOrderParameter,
    OrderParameter,
    block_bootstrap,
    follow_phases,
    repeat_error,
    seed_spread,
)
from analysis.order_parameter.gauge import (
    TWIN_MARGIN,
    bragg_shift,
    fix_gauge,
    into_gauge,
    ramp_spacing,
)
from analysis.order_parameter.selection import (
    legs,
    reference_row,
    repeated_rows,
    sample_path,
    select,
)
from analysis.order_parameter.transition import MIN_POINTS, Transition, best_fit, fit_transition
from analysis.phasing.trust import spread
from analysis.results import (
    Fit,
    Gauge,
    Lattice,
    Order,
    ScanResult,
    SeriesResult,
    SeriesScans,
    Structure,
    numbered_labels,
)
from analysis.structure import Domain, find_domains, missing_density, surface_and_bulk

Floats = NDArray[np.float64]


def series_structure(gauge: Gauge) -> Structure:
    """Return the domains of each temperature, and its strain in the surface shell and in the bulk.

    Missing density is judged against the reference; shell and bulk are those of the reference's support.
    """
    reference = gauge.aligned[gauge.reference]
    domains = tuple(
        find_domains(array, gauge.basis, gauge.q_vector, gauge.support, reference=reference)
        for array in gauge.aligned
    )
    shells = tuple(
        surface_and_bulk(
            array,
            gauge.basis,
            gauge.q_vector,
            gauge.support & (np.asarray(found.labels) != Domain.MISSING),
            outline=gauge.support,
        )
        for array, found in zip(gauge.aligned, domains, strict=True)
    )
    return Structure(domains=domains, surface_bulk=shells)


NEAR_WRAP = 0.9
"""Share of π beyond which a phase difference may have wrapped."""


def analyse_series(
    results: Sequence[ScanResult], *, expected: int | None = None, reference: float | None = None
) -> SeriesResult:
    """Return the order parameter of a series; it depends on the set of results, not on their order.

    Untrusted temperatures have a value, projected on the component that the trusted ones span, but no say in
    it nor in the fit. Without a trusted result at the reference temperature the nearest trusted one stands
    in, and everything is provisional; so it is while fewer than ``expected`` temperatures are there. A scan
    on its own (``expected`` 1) is compared with nothing and waits for nothing.

    Parameters
    ----------
    results : sequence of ScanResult
        Of one series. Of several attempts at one place of it the last trusted one counts, else the last;
        trusted results of its scan from other seeds tell the spread.
    expected : int, optional
        How many scans the series is to have.
    reference : float, K, optional
        Setpoint of the reference state, on whichever branch it was measured; that of the scans' experiment by
        default.
    """
    selection = select(results)
    chosen = selection.chosen
    experiment = Experiment.of_scan(chosen[0])
    reference = experiment.reference_temperature if reference is None else reference
    first, found = reference_row(chosen, reference)
    gauge = fix_gauge(chosen, first)
    trusted = np.array([result.trusted for result in chosen]) & gauge.decided
    teaching = trusted if trusted.any() else np.ones(len(chosen), dtype=bool)
    differences, valid = phase_differences(gauge)
    estimator = OrderParameter().fit(differences[teaching])
    scores = _first_two(estimator.transform(differences))
    repeats = _repeated(gauge, selection.repeats, estimator)
    transitions, remarks = _transitions(chosen, scores[:, 0], teaching)
    whole = _series_reasons(found, chosen[first].label, reference, len(chosen), expected)
    path = sample_path(chosen)
    return SeriesResult(
        series_uid=chosen[0].series_uid,
        scans=_scans(chosen, selection.repeats, path),
        order=Order(
            parameter=scores[:, 0],
            bootstrap_error=block_bootstrap(differences, np.argwhere(gauge.support), teaching),
            seed_spread=seed_spread(scores[:, 0], repeats),
            seeds=np.array([1 + len(repeats[row]) for row in range(len(chosen))]),
            repeat_error=_repeat_error(chosen, scores[:, 0], teaching, first),
            scores=scores,
            eigenvalues=estimator.eigenvalues_,
            explained_ratio=estimator.explained_ratio_,
            **_phase_fields(differences, valid),
            **_circular_fields(differences, valid, path, first, teaching),
        ),
        fit=_fit(chosen, path, scores[:, 0], teaching, transitions),
        gauge=gauge,
        lattice=_lattice(chosen, gauge),
        structure=series_structure(gauge),
        trusted=trusted,
        provisional=np.full(len(chosen), bool(whole)),
        reasons=tuple(_row_reasons(chosen, gauge, row) for row in range(len(chosen))),
        expected=expected,
        critical_region=experiment.critical_region,
        notes=(*selection.notes, *remarks, *whole),
        unsettled=whole,
    )


def _resolution(one: ScanResult, others: Sequence[ScanResult]) -> float:
    """Return the resolution, nm, that a scan's trusted seeds agree to; NaN where it is the only one."""
    if not others or not one.trusted:
        return float("nan")
    return spread([one.object, *(other.object for other in others)], one.voxel_basis).resolution


def _scans(
    chosen: Sequence[ScanResult], repeats: Sequence[Sequence[ScanResult]], path: Floats
) -> SeriesScans:
    return SeriesScans(
        indices=np.array([result.series_index for result in chosen]),
        temperatures=np.array([result.temperature for result in chosen]),
        temperature_sigma=np.array([result.temperature_sigma for result in chosen]),
        setpoints=np.array([result.temperature_setpoint for result in chosen]),
        branches=tuple(result.branch for result in chosen),
        run_uids=tuple(result.run_uid for result in chosen),
        labels=numbered_labels(chosen),
        attempts=tuple(result.attempt for result in chosen),
        analyses=tuple(result.analysis for result in chosen),
        path=path,
        legs=legs(chosen),
        notes=tuple(result.notes for result in chosen),
        chi_squared=np.array([result.chi_squared for result in chosen]),
        noise_ratio=np.array([result.noise_ratio for result in chosen]),
        resolution=np.array([_resolution(*pair) for pair in zip(chosen, repeats, strict=True)]),
        monitor_spread=np.array(
            [float(result.parameters.get("monitor_spread", np.nan)) for result in chosen]
        ),
    )


def _lattice(chosen: Sequence[ScanResult], gauge: Gauge) -> Lattice:
    shift = bragg_shift(chosen, gauge)
    return Lattice(
        d_spacing=np.array([result.d_spacing for result in chosen]),
        d_spacing_error=np.array([result.d_spacing_error for result in chosen]),
        bragg_shift=shift,
        d_spacing_ramp=ramp_spacing(shift, chosen[gauge.reference].d_spacing),
    )


def _phase_fields(differences: Floats, valid: NDArray[np.bool_]) -> dict[str, Any]:
    """Return what sums up the phase differences, (n,) float64 each."""
    counted = np.maximum(valid.sum(axis=1), 1)
    return {
        "near_wrap": _near_wrap(differences, valid),
        "valid_fraction": valid.mean(axis=1),
        "rms_phase": np.sqrt((differences**2).sum(axis=1) / counted),
    }


def _circular_fields(
    differences: Floats, valid: NDArray[np.bool_], path: Floats, first: int, teaching: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the order parameters that do not mind a wrapped phase: on the circle, and with its turns."""
    circular = CircularOrderParameter(n_components=1).fit(differences[teaching])
    return {
        "circular": circular.transform(differences)[:, 0],
        "circular_ratio": float(circular.explained_ratio_[0]),
        "followed": _followed(differences, valid, path, first, teaching),
    }


def phase_differences(gauge: Gauge) -> tuple[Floats, NDArray[np.bool_]]:
    """Return Δφ_n = −arg(ρ_n ρ_0*) inside S_0, and where both objects have density.

    A wrapped product, never a difference of wrapped phases; 0 where density is missing.

    Returns
    -------
    tuple of ndarray
        (n, voxels of S_0) float64, rad, and the same shape bool.
    """
    pairs = [_difference(array, gauge) for array in gauge.aligned]
    differences = np.stack([difference for difference, _ in pairs])
    differences[gauge.reference] = 0.0
    return differences, np.stack([valid for _, valid in pairs])


def _difference(array: NDArray[np.complex64], gauge: Gauge) -> tuple[Floats, NDArray[np.bool_]]:
    """Return Δφ of an object on the gauge's grid, (voxels of S_0,) float64, rad, and where it is defined."""
    support, reference = gauge.support, gauge.aligned[gauge.reference]
    valid = ~missing_density(array, reference, support).mask[support]
    product = array[support] * np.conj(reference[support])
    return np.where(valid, -np.angle(product), 0.0).astype(np.float64), valid


def _first_two(projected: Floats) -> Floats:
    scores = np.zeros((len(projected), 2))
    scores[:, : min(2, projected.shape[1])] = projected[:, :2]
    return scores


def _followed(
    differences: Floats, valid: NDArray[np.bool_], path: Floats, first: int, teaching: NDArray[np.bool_]
) -> Floats:
    """Return the order parameter of phases with their turns, (n,) float64, rad."""
    turned = follow_phases(differences, valid, path, first, teaching)
    return np.asarray(OrderParameter(n_components=1).fit(turned[teaching]).transform(turned)[:, 0])


def _near_wrap(differences: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return the share of valid voxels, (n,) float64, whose Δφ lies within a tenth of π of the wrap."""
    close = valid & (np.abs(differences) > NEAR_WRAP * np.pi)
    return np.asarray(close.sum(axis=1) / np.maximum(valid.sum(axis=1), 1))


def _repeated(
    gauge: Gauge, repeats: Sequence[Sequence[ScanResult]], estimator: OrderParameter
) -> dict[int, list[float]]:
    """Return the order parameters of each row's other seeds, those whose twin is undecided left out."""
    found: dict[int, list[float]] = {}
    for row, others in enumerate(repeats):
        placed = [into_gauge(gauge, row, other) for other in others]
        kept = [_difference(array, gauge)[0] for array, margin in placed if margin >= TWIN_MARGIN]
        found[row] = estimator.transform(np.stack(kept))[:, 0].tolist() if kept else []
    return found


def _repeat_error(
    chosen: Sequence[ScanResult], values: Floats, used: NDArray[np.bool_], reference: int
) -> Floats:
    """Return the error that repeated scans show, (n,) float64, rad; 0 for the reference, NaN without repeats.

    The reference is 0 by definition; its own noise is in all the others.
    """
    groups = [[row for row in group if used[row]] for group in repeated_rows(chosen)]
    error = np.full(len(chosen), repeat_error(values, groups))
    if np.isfinite(error[reference]):
        error[reference] = 0.0
    return error


def _fit(
    chosen: Sequence[ScanResult],
    path: Floats,
    values: Floats,
    used: NDArray[np.bool_],
    transitions: tuple[Transition, ...],
) -> Fit:
    """Return the best fit at every temperature, the distance from it, and the curve to draw.

    Each leg has a curve of its own, which begins where the sample turned: at the last temperature before it.
    """
    numbers, temperatures = legs(chosen), np.array([one.temperature for one in chosen])
    fit, curves, belongs = np.zeros(len(chosen)), [], []
    for leg in range(int(numbers[-1]) + 1):
        here = numbers == leg
        rows = np.flatnonzero(used & here)
        rows = np.concatenate([np.flatnonzero(used & (numbers < leg))[-1:], rows])
        rows = rows[np.argsort(path[rows], kind="stable")] if len(rows) else np.flatnonzero(used)
        curve = best_fit(path[rows], values[rows])
        fit[here] = curve(path[here])
        fine = np.linspace(path[rows].min(), path[rows].max(), 200)
        curves.append(np.stack([np.interp(fine, path[rows], temperatures[rows]), curve(fine)]))
        belongs.append(np.full(len(fine), leg))
    return Fit(
        values=fit,
        residual=values - fit,
        curve=np.concatenate(curves, axis=1),
        curve_legs=np.concatenate(belongs),
        transitions=transitions,
    )


def _transitions(
    chosen: Sequence[ScanResult], values: Floats, used: NDArray[np.bool_]
) -> tuple[tuple[Transition, ...], list[str]]:
    """Return the transition model of each leg that has temperatures enough, or why there is none."""
    found, remarks = [], []
    temperatures, numbers = np.array([result.temperature for result in chosen]), legs(chosen)
    for leg in range(int(numbers[-1]) + 1):
        here = used & (numbers == leg)
        if np.count_nonzero(here) < MIN_POINTS:
            continue
        branch = chosen[int(np.flatnonzero(numbers == leg)[0])].branch
        try:
            found.append(fit_transition(temperatures[here], values[here], branch, leg))
        except ValueError as error:
            remarks.append(f"no transition model: {error}")
    return tuple(found), remarks


def _series_reasons(
    found: bool, label: str, reference: float, count: int, expected: int | None
) -> tuple[str, ...]:
    reasons = []
    if not found and expected != 1:
        reasons.append(f"no trusted reference at {reference:g} K yet: {label} stands in for it")
    if expected is not None and count < expected:
        reasons.append(f"the series is not complete: {count} of {expected} temperatures")
    return tuple(reasons)


def _row_reasons(chosen: Sequence[ScanResult], gauge: Gauge, row: int) -> tuple[str, ...]:
    reasons = (
        [] if chosen[row].trusted else list(chosen[row].reasons) or ["the reconstruction is not trusted"]
    )
    if not gauge.decided[row]:
        other = chosen[gauge.neighbour[row]].label
        reasons.append(
            f"twin undecided against {other}: margin {gauge.margin[row]:.3f} below {TWIN_MARGIN:g}"
        )
    return tuple(reasons)
