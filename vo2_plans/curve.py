"""A rocking curve collected while it is measured, and what it says about where the peak is."""

from dataclasses import dataclass, field
from math import isfinite, nan

from vo2_plans.protocols import Readings, value_of


@dataclass
class RockingCurve:
    """Counts of the peak and its place on the detector, at each eta.

    Points without a reading (a dry run, a point whose reading was lost in a rewind) leave no trace.

    Parameters
    ----------
    detector : str
        Name of the detector, which begins the keys of its readings.
    """

    detector: str
    eta: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    pixels: list[tuple[float, float]] = field(default_factory=list)

    def add(self, eta: float, readings: Readings) -> None:
        """Keep one point's readings."""
        row, column, counts = (
            value_of(readings, f"{self.detector}_{key}") for key in ("peak_row", "peak_column", "peak_total")
        )
        if isfinite(counts) and isfinite(row) and isfinite(column):
            self.eta.append(value_of(readings, "eta") if "eta" in readings else eta)
            self.counts.append(counts)
            self.pixels.append((row, column))

    @property
    def has_peak(self) -> bool:
        """Whether at least one point rose above the background."""
        return bool(self.eta) and max(self.counts) > 0

    def maximum(self) -> float:
        """Return the eta with most counts, degrees."""
        return self.eta[self.counts.index(max(self.counts))]

    def _weights(self) -> list[float]:
        """Return counts above a tenth of the maximum: flanks must not decide where the centre is."""
        floor = 0.1 * max(self.counts)
        return [max(0.0, counts - floor) for counts in self.counts]

    def centre(self) -> float:
        """Return the centre of mass in eta, degrees."""
        return _mean(self.eta, self._weights())

    def pixel(self) -> tuple[float, float]:
        """Return row and column of the peak, averaged over the curve by counts."""
        weights = self._weights()
        return _mean([row for row, _ in self.pixels], weights), _mean(
            [col for _, col in self.pixels], weights
        )


def _mean(values: list[float], weights: list[float]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total > 0 else nan
