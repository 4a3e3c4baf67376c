"""The phase error of shorter exposures: a scan's raw counts thinned, phased, and held against all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, nan, sqrt
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.phasing.network.transfer import phase_rms
from analysis.phasing.reconstruction import Reconstruction
from analysis.phasing.registration import align
from analysis.phasing.trust import spread
from analysis.preprocessing import PreparedScan, Thinning

Phase = Callable[[PreparedScan, int], Reconstruction]
"""Phases a prepared scan from a seed."""


@dataclass(frozen=True)
class ExposureConfig:
    """Which shorter exposures are tried.

    Attributes
    ----------
    fractions : tuple of float
        Of the exposure, each above 0 and below 1. Source: half a decade apart; over less than that the error
        changes by less than the spread of three copies.
    seeds : int
        Thinned copies of each, with as many seeds of the phasing.
    """

    fractions: tuple[float, ...] = (1 / 3, 1 / 10, 1 / 30)
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be tried."""
        if not self.fractions or not all(0 < one < 1 for one in self.fractions):
            raise ValueError(
                "exposures are tried as fractions above 0 and below 1 (all counts are the reference); got "
                f"{self.fractions!r}"
            )
        if isinstance(self.seeds, bool) or self.seeds < 2:
            raise ValueError(f"a spread needs 2 thinned copies or more of each exposure; got {self.seeds!r}")


class RawScan(Protocol):
    """A scan of which shorter exposures can be made: `analysis.preprocessing.LocatedScan` is one."""

    def prepared(self, thinning: Thinning | None = None) -> PreparedScan:
        """Return the crop about the peak, of all counts or of a shorter exposure."""
        ...


class Phased(Protocol):
    """The result of all counts, as far as it is needed: a `Reconstruction` has it, and a `ScanResult`."""

    @property
    def object(self) -> NDArray[np.complex64]: ...  # noqa: D102
    @property
    def support(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def trusted(self) -> bool: ...  # noqa: D102


def phase_error(
    obj: NDArray[Any], reference: NDArray[Any], support: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the RMS difference of two objects' phases over a support, rad, and their overlap, 0 … 1.

    Twin, sub-voxel shift, phase ramp and global phase are removed first (docs/science.md section 3.21); the
    squares are weighted with the reference's density.

    Parameters
    ----------
    obj, reference : ndarray, (n0, n1, n2) complex, origin at index n//2
    support : ndarray, (n0, n1, n2) bool
        Of the reference.
    """
    found = align(obj, reference)
    inside = torch.from_numpy(np.where(support, reference, 0).astype(np.complex128))
    return phase_rms(torch.from_numpy(found.object), inside), found.overlap


@dataclass(frozen=True)
class ExposureRow:
    """What an exposure would give.

    Attributes
    ----------
    fraction : float
        Of the scan's exposure.
    errors : tuple of float, rad
        Phase error of each thinned copy that could be phased, corrected for what it shares with the full
        counts.
    overlaps : tuple of float
        Of the same copies with the full result.
    trusted : int
        How many of the copies the blind check trusts.
    copies : int
        How many there were.
    failures : tuple of str
        Why copies could not be phased.
    resolution : float, nm
        To which the copies agree among each other (docs/science.md section 3.16); NaN of fewer than two.
    limited : bool
        Whether the transfer function falls below its limit inside the measured q.
    """

    fraction: float
    errors: tuple[float, ...]
    overlaps: tuple[float, ...]
    trusted: int
    copies: int
    failures: tuple[str, ...] = ()
    resolution: float = nan
    limited: bool = False

    @property
    def error(self) -> float:
        """Root mean square of the copies' phase errors, rad; NaN without any."""
        return sqrt(float(np.mean(np.square(self.errors)))) if self.errors else nan

    @property
    def spread(self) -> float:
        """Standard deviation of the copies' phase errors, rad; NaN of fewer than two."""
        return float(np.std(self.errors, ddof=1)) if len(self.errors) > 1 else nan

    @property
    def upper(self) -> float:
        """Error and spread, which a stated error is held against, rad; ∞ unless all copies are trusted."""
        whole = self.trusted == self.copies and len(self.errors) > 1
        return self.error + self.spread if whole else inf


@dataclass(frozen=True)
class ExposureTable:
    """Phase error against exposure of one scan.

    Attributes
    ----------
    seconds : float
        Exposure of a point of the scan.
    counts : float
        In the crop.
    peak : float
        Counts of the brightest voxel.
    trusted : bool
        Whether the full result is; without it there is nothing to compare with.
    rows : tuple of ExposureRow
        The longest first.
    """

    seconds: float
    counts: float
    peak: float
    trusted: bool
    rows: tuple[ExposureRow, ...] = field(default=())

    @property
    def own_error(self) -> float:
        """Phase error that counting leaves in the full result, rad: that of the longest try times √f."""
        first = self.rows[0]
        return first.error * sqrt(first.fraction)


def try_exposures(
    scan: RawScan,
    phase: Phase,
    *,
    seconds: float,
    full: Phased | None = None,
    seed: int = 0,
    config: ExposureConfig | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> ExposureTable:
    """Phase thinned copies of a scan and return how far they are from the result of all counts.

    Parameters
    ----------
    scan : RawScan
    phase : callable
    seconds : float
        Exposure of a point.
    full : Phased, optional
        The result of all counts, of the same crop; phased here otherwise.
    seed : int
        Of the first copy; the next ones follow.
    config : ExposureConfig, optional
    progress : callable
        Called with how many of how many reconstructions are done.
    """
    config = config or ExposureConfig()
    prepared = scan.prepared()
    if full is not None and full.object.shape != prepared.intensity.shape:
        raise ValueError(
            f"the full result must be of the crop {prepared.intensity.shape!r} that is thinned; got one of "
            f"{full.object.shape!r}: analyse the scan with that crop first"
        )
    fractions = sorted(set(config.fractions), reverse=True)
    total, done = len(fractions) * config.seeds + (full is None), 0
    if full is None:
        full = phase(prepared, seed)
        done += 1
        progress(done, total)
    rows = []
    for fraction in fractions if full.trusted else ():
        found: list[Reconstruction] = []
        failures: list[str] = []
        for copy in range(config.seeds):
            rng = np.random.default_rng([seed + copy, round(fraction * 1e9)])
            try:
                found.append(phase(scan.prepared(Thinning(fraction, rng)), seed + copy))
            except ValueError as error:
                failures.append(str(error))
            done += 1
            progress(done, total)
        rows.append(_row(fraction, found, failures, full, prepared.voxel_basis))
    peak = float(np.where(prepared.mask, 0, prepared.intensity).max())
    return ExposureTable(seconds, prepared.counts, peak, bool(full.trusted), tuple(rows))


def _row(
    fraction: float,
    found: Sequence[Reconstruction],
    failures: Sequence[str],
    full: Phased,
    voxel_basis: NDArray[np.float64],
) -> ExposureRow:
    """Compare the copies of one exposure with the full result, and with each other.

    A copy's counts are part of the full ones: for small errors the difference of the two objects has the
    variance σ²(1/f − 1), the copy's own error the variance σ²/f. Hence the factor 1/√(1 − f).
    """
    pairs = [phase_error(one.object, full.object, full.support) for one in found]
    among = spread([one.object for one in found], voxel_basis) if len(found) > 1 else None
    return ExposureRow(
        fraction=fraction,
        errors=tuple(difference / sqrt(1 - fraction) for difference, _ in pairs),
        overlaps=tuple(overlap for _, overlap in pairs),
        trusted=sum(one.trusted for one in found),
        copies=len(found) + len(failures),
        failures=tuple(failures),
        resolution=nan if among is None else among.resolution,
        limited=among is not None and among.limited,
    )
