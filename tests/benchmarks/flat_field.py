"""How much of a detector's real white field the calibration finds blindly, from the file of a scan's result.

Prints, and draws if a third name is given; judges nothing: ``python tests/benchmarks/flat_field.py RESULT.h5
WHITE.npz [FIGURE.png]``. RESULT.h5 is of APS 34-ID-C's scan 54 (`vo2 reconstruct`, crop 64,128,128, no flat
field given), WHITE.npz holds ``white``, what the detector's pixels counted of even light.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.save import save
from analysis.figures.style import drawing
from analysis.results import ScanResult, read_scan

LEAST = (300, 1000, 3000)
DRAWN = 1000


def compared(result: ScanResult, white: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return found and true flat field of the pixels of more than ``least`` counts, each over its mean."""
    found, real, lit = images(result, white, least)
    return found[lit] / found[lit].mean(), real[lit] / real[lit].mean()


def images(result: ScanResult, white: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return found and true flat field of the crop, and which pixels have more than ``least`` counts."""
    _, row, col = result.parameters["crop_origin"]
    rows, cols = result.intensity.shape[1:]
    real = white[row : row + rows, col : col + cols]
    seen = np.where(result.mask, 0, result.intensity).sum(axis=0)
    lit = (seen > least) & (real > 0) & ~result.mask.all(axis=0)
    if result.flat_field is None:
        raise SystemExit("this result's flat field was not looked for")
    return result.flat_field, real, lit


def correlation(result: ScanResult, white: np.ndarray, least: float) -> float:
    """Return the correlation of the logarithms: both are factors."""
    found, real = compared(result, white, least)
    return float(np.corrcoef(np.log(found), np.log(real))[0, 1])


def draw(result: ScanResult, white: np.ndarray) -> Figure:
    """Draw both over the crop, and one against the other."""
    found, real, lit = images(result, white, DRAWN)
    with drawing(None, 7.2, 2.6) as (figure, _):
        axes = figure.subplots(1, 3)
        named = {"white field, measured": real, "found with the object": found}
        for ax, (name, values) in zip(axes, named.items(), strict=False):
            shown = np.ma.masked_where(~lit, values / values[lit].mean())
            image = ax.imshow(shown, cmap="gray", vmin=0.5, vmax=1.5, origin="lower", interpolation="nearest")
            ax.set(title=name, xlabel="column", ylabel="row", xlim=(24, 104), ylim=(24, 104))
            ax.set_facecolor("#d8e4ee")
        figure.colorbar(image, ax=axes[:2], shrink=0.8, label="relative to the mean")
        one, two = compared(result, white, DRAWN)
        axes[2].plot(two, one, ".", markersize=2, color="black")
        axes[2].plot([0.4, 1.8], [0.4, 1.8], color="#D55E00", linewidth=0.8)
        axes[2].set(xlabel="measured", ylabel="found", xlim=(0.4, 1.8), ylim=(0.4, 1.8), aspect="equal")
        axes[2].set_title(f"correlation of the logarithms {correlation(result, white, DRAWN):.2f}")
    return figure


def main() -> None:
    """Print the correlation over pixels of several brightnesses."""
    result = read_scan(Path(sys.argv[1]))
    with np.load(sys.argv[2]) as stored:
        white = stored["white"].astype(float)
    for least in LEAST:
        _, _, lit = images(result, white, least)
        print(f"pixels of > {least} counts: {lit.sum()}, correlation {correlation(result, white, least):.3f}")
    if len(sys.argv) > 3:
        save(draw(result, white), Path(sys.argv[3]))


if __name__ == "__main__":
    main()
