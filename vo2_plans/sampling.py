"""How finely a scan will sample its crystal, what would mend it, and which range of eta the crop needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10, pi, radians, sqrt
from typing import Any

from vo2_plans.run_metadata import EtaWindow

HC = 12.398419843320026
"""Photon energy times wavelength, keV Å (CODATA 2018, exact)."""

DIRECTIONS = ("along the rocking direction", "along Q", "horizontally")

UNIQUE = 2.0
"""Oversampling below which the autocorrelation wraps: a warning (docs/science.md section 1.2)."""

LEAST = 1.2
"""Oversampling below which a series is refused: no object of such a scan is trusted (section 3.19)."""

MARGIN = 4
"""Steps on either side of the crop: the peak lies within a step of the window's centre, and may drift."""


USUAL_PLANES = 64
"""Of the crop, where no experiment is described."""


@dataclass(frozen=True)
class Sampling:
    """Fields of view in nm along the rocking direction, along Q, and horizontally: 2π/Δq."""

    fields_of_view: tuple[float, float, float]

    def oversampling(self, size: Sequence[float]) -> tuple[float, float, float]:
        """Return field of view over crystal size (nm), per direction."""
        rocking, along_q, horizontal = (f / s for f, s in zip(self.fields_of_view, size, strict=True))
        return rocking, along_q, horizontal


def sampling_of(metadata: Mapping[str, Any], window: EtaWindow) -> Sampling:
    """Return the sampling that a scan will have.

    Δq per step is abs(Q)·Δη, per pixel (2π/λ)·pitch/distance (docs/science.md section 1.2).

    Parameters
    ----------
    metadata : mapping
        `UB` (Å⁻¹, 2π included), `reflection`, `energy` (keV) and `detector` as in the start document.
    window : EtaWindow
    """
    q = momentum_transfer(metadata)
    wave_number = 2 * pi * float(metadata["energy"]) / HC
    detector = metadata["detector"]
    per_pixel = wave_number * float(detector["pixel_size_mm"]) / float(detector["distance_mm"])
    per_step = q * radians(window.step)
    rocking, pixel = (2 * pi / step / 10 for step in (per_step, per_pixel))
    return Sampling((rocking, pixel, pixel))


def momentum_transfer(metadata: Mapping[str, Any]) -> float:
    """Return abs(Q) of the measured reflection, Å⁻¹, from ``UB`` (2π included) of a start document."""
    hkl = metadata["reflection"]
    return sqrt(sum(sum(row[i] * hkl[i] for i in range(3)) ** 2 for row in metadata["UB"]))


@dataclass(frozen=True)
class SamplingCheck:
    """What is known of a scan's sampling before it is measured.

    Attributes
    ----------
    oversampling : tuple of float, optional
        Along the rocking direction, along Q, and horizontally; None where the crystal's size is not known.
    warnings : list of str
        Each direction below `UNIQUE`, with what would mend it.
    refusals : list of str
        Those below `LEAST`, in a window wide enough to be phased.
    """

    oversampling: tuple[float, float, float] | None = None
    warnings: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def check_sampling(
    metadata: Mapping[str, Any], window: EtaWindow, size: Sequence[float] | None
) -> SamplingCheck:
    """Hold a scan's sampling against the crystal's size.

    A window that could not hold the crop even in steps that sample the crystal twice is no scan to be phased
    (a look at the peak, a test): it is warned of and not refused.

    Parameters
    ----------
    metadata, window
        As for `sampling_of`.
    size : sequence of float, nm, optional
        Of the crystal along `DIRECTIONS`.
    """
    if size is None:
        return SamplingCheck(
            warnings=["the crystal's size is not known beforehand: oversampling cannot be checked"]
        )
    ratios = sampling_of(metadata, window).oversampling(size)
    warnings, refusals = [], []
    for length, direction, ratio in zip(size, DIRECTIONS, ratios, strict=True):
        if ratio >= UNIQUE:
            continue
        remedy = _remedy(metadata, window, direction, ratio / UNIQUE)
        said = f"the crystal's {length:g} nm {direction} are oversampled {ratio:.2f} times"
        verdict = "they cannot be phased" if ratio < LEAST else "the autocorrelation wraps"
        warnings.append(f"{said}, a unique phase needs 2: {verdict}; {remedy} would do")
        if ratio < LEAST:
            refusals.append(
                f"{said}, at least {LEAST:g} times is needed to phase them: {remedy} would give 2; to "
                "measure all the same, say undersampled=True (--undersampled)"
            )
    planes = next((count for _, count in _crops(metadata)), USUAL_PLANES)
    sufficient = window.step * min(ratios[0] / UNIQUE, 1)
    if window.stop - window.start < planes * sufficient:
        refusals = []
    return SamplingCheck(ratios, warnings, refusals)


def _remedy(metadata: Mapping[str, Any], window: EtaWindow, direction: str, share: float) -> str:
    """Return in words what makes the field of view `1 / share` times as long."""
    if direction == DIRECTIONS[0]:
        return f"a step of {_down(window.step * share)}°"
    distance = float(metadata["detector"]["distance_mm"]) / share
    energy = float(metadata["energy"]) * share
    return f"a distance of {ceil(distance)} mm, or {_down(energy)} keV"


def _down(value: float) -> str:
    """Return a number cut to two digits, never rounded up."""
    unit = 10.0 ** (floor(log10(value)) - 1)
    return f"{floor(value / unit + 1e-9) * unit:.6g}"


@dataclass(frozen=True)
class WindowNeed:
    """The range of eta that an analysed crop needs about the window's centre, which follows the peak.

    Attributes
    ----------
    what : str
        The crop in words.
    planes : int
        Of it.
    start, stop : float, degrees
        With `MARGIN` steps on either side.
    points : int
        In this range.
    measured : int
        Points of the window.
    """

    what: str
    planes: int
    start: float
    stop: float
    points: int
    measured: int

    @property
    def text(self) -> str:
        """The range as a line to be printed."""
        share = f"{100 * self.points / self.measured:.0f} % of the window's {self.measured}"
        return (
            f"{self.what}, {self.planes} planes and {MARGIN} on either side, needs eta {self.start:.3f}° to "
            f"{self.stop:.3f}°: {self.points} points, {share}"
        )

    @property
    def warning(self) -> str:
        """What is to be said of a window that does not hold the crop; empty where it does."""
        if self.measured >= self.planes:
            return ""
        return (
            f"the window has {self.measured} points, {self.what} {self.planes} planes: what is beyond the "
            f"window counts as not measured; eta {self.start:.3f}° to {self.stop:.3f}° would hold it"
        )


def window_needs(metadata: Mapping[str, Any], window: EtaWindow) -> list[WindowNeed]:
    """Return the ranges of eta that the experiment's crops need; none where no experiment is described.

    Parameters
    ----------
    metadata : mapping
        ``experiment`` as in the start document: ``crop``, ``wide_crop`` and ``counterpart``.
    window : EtaWindow
        Its centre and step.
    """
    needs = []
    for what, planes in _crops(metadata):
        half = (planes // 2 + MARGIN) * window.step
        start, stop = round(window.centre - half, 6), round(window.centre + half, 6)
        needs.append(WindowNeed(what, planes, start, stop, 2 * (planes // 2 + MARGIN) + 1, window.num))
    return needs


def _crops(metadata: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the crops of the described experiment in words, and their planes along the rocking axis."""
    known = metadata.get("experiment") or {}
    crops = [("the crop", int(known["crop"][0]))] if known.get("crop") else []
    if known.get("wide_crop"):
        other = (known.get("counterpart") or {}).get("phase") or "second lattice"
        crops.append((f"the wide crop, which holds the peak of the {other}", int(known["wide_crop"][0])))
    return crops
