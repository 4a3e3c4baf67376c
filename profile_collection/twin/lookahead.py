"""Look-ahead: frames are computed in blocks along eta, because many frames share one inner FFT."""

from collections import OrderedDict

import numpy as np

from profile_collection.twin.diffraction import Diffraction, Frames

POINTS_PER_BLOCK = 9_000_000
"""Points of q in one call of the non-uniform FFT: about 24 full frames, 350 MB."""

LARGEST_BLOCK = 56

CACHE_BYTES = 160_000_000

ETA_DIGITS = 5
"""Positions that agree to 1e-5° are one position."""


class LookAhead:
    """Serves frames of one Diffraction one by one and computes them in growing blocks.

    A first exposure is computed alone; when exposures follow each other by a constant step in eta, the next
    ones are computed with it: 4, then 16, then as many as fit. Frames are kept, so that a point taken again
    costs nothing.

    Parameters
    ----------
    diffraction : Diffraction
    """

    def __init__(self, diffraction: Diffraction) -> None:
        self.diffraction = diffraction
        self.computed = 0
        self._frames: OrderedDict[float, Frames] = OrderedDict()
        self._last: float | None = None
        self._step = 0.0
        self._block = 1
        self._largest = int(np.clip(POINTS_PER_BLOCK // diffraction.points_per_frame, 1, LARGEST_BLOCK))

    def frame(self, eta: float) -> Frames:
        """Return the intensity at ``eta`` degrees, float32, (rows, columns), nm⁶; not to be written to."""
        key = round(eta, ETA_DIGITS)
        self._watch(key)
        if key not in self._frames:
            self._compute(key)
        return self._frames[key]

    def _watch(self, key: float) -> None:
        """Guess the step from the last two exposures."""
        if self._last is None or key == self._last:
            self._last = key
            return
        step = round(key - self._last, ETA_DIGITS)
        if step != self._step:
            self._step, self._block = step, 1
        elif key not in self._frames:
            self._block = min(4 * self._block, self._largest)
        self._last = key

    def _compute(self, key: float) -> None:
        wanted = [round(key + i * self._step, ETA_DIGITS) for i in range(self._block)]
        keys = [k for k in dict.fromkeys(wanted) if k not in self._frames]
        for k, frame in zip(keys, self.diffraction.intensity(np.array(keys)), strict=True):
            self._frames[k] = frame
        self.computed += len(keys)
        room = max(int(CACHE_BYTES / self._frames[key].nbytes), 2 * self._largest)
        while len(self._frames) > room:
            self._frames.popitem(last=False)
