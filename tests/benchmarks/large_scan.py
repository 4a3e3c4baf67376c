"""What a scan larger than memory costs: 1000 frames of 2070 × 2167, 18 GB as counts of 32 bits.

Prints; judges nothing. ``make benchmark`` runs it; alone: ``python tests/benchmarks/large_scan.py [frames]``.
The file is sparse: chunks without counts are not stored, but read as all others are.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from analysis.geometry import instrument_named
from analysis.preprocessing import prepare_scan
from analysis.readers.linked import Dataset

ROWS, COLUMNS = 2070, 2167
PEAK = (1000, 1100)
START = {"energy": 9.0, "scan": {"axis": "eta"}}
ANGLES = {"mu": 0.0, "eta": 17.0, "chi": 90.0, "phi": 0.0, "delta": 30.0, "gam": 0.0}


def write(path: Path, frames: int) -> None:
    """Write a sparse file with a peak in its middle."""
    rng = np.random.default_rng(1)
    across = np.arange(-32, 32)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (frames, ROWS, COLUMNS), "<u4", chunks=(1, ROWS, COLUMNS))
        for step in range(-32, 32):
            spot = 1e4 * np.exp(-(across[:, None] ** 2 + across**2 + step**2) / 60)
            rows, cols = (slice(place - 32, place + 32) for place in PEAK)
            data[frames // 2 + step, rows, cols] = rng.poisson(spot)


def main() -> None:
    """Print the memory and the time that preparing the scan takes."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    detector = {"distance_mm": 1300.0, "pixel_size_mm": 0.055, "shape": (ROWS, COLUMNS)}
    geometry = instrument_named("Diamond I16").geometry({**START, "detector": detector}, ANGLES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.h5"
        write(path, frames)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, cpu = time.perf_counter(), time.process_time()
        angles = 17 + 0.003 * np.arange(frames)
        prepared = prepare_scan(Dataset(path, "data"), angles, None, geometry)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = frames * ROWS * COLUMNS * 4 / 1e9
        used, took = time.process_time() - cpu, time.perf_counter() - began
    print(f"{frames} frames of {ROWS} × {COLUMNS}: {size:.1f} GB")
    print(f"crop {prepared.intensity.shape} about {tuple(round(place) for place in prepared.peak)}")
    print(f"peak memory {peak / 1e6:.2f} GB, {before / 1e6:.2f} GB before; {used:.0f} CPU s, {took:.0f} s")


if __name__ == "__main__":
    main()
