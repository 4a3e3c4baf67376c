"""What was measured before, sent through the live path: stored runs, and scans of other beamlines."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.file_names import file_name
from callbacks.catalogue import Catalogue, as_v3, find_run, last_series, series_runs
from callbacks.frames import write_frames
from callbacks.journal.journal import Document
from callbacks.journal.recovery import scan_documents


@dataclass(frozen=True)
class Aps34idcScan:
    """Where a rocking scan of theta was taken at APS 34-ID-C; the defaults are the published scan 54.

    Parameters
    ----------
    theta_start, theta_step
        First angle of theta and its step, degrees.
    delta, gamma
        In-plane and vertical angle of the detector arm, degrees.
    chi, phi
        Of the sample, degrees.
    energy
        keV.
    distance_mm, pixel_size_mm
        Detector.
    exposure
        Seconds per point.
    lattice
        Cubic lattice constant, Å.
    reflection
        Its (h, k, l).
    temperature
        K; that of the room, where none was recorded.
    crop
        Voxels about the peak that are phased.
    """

    theta_start: float = -0.28
    theta_step: float = 0.005
    delta: float = 32.174
    gamma: float = 12.6346
    chi: float = 90.0
    phi: float = -5.0
    energy: float = 9.0
    distance_mm: float = 500.0
    pixel_size_mm: float = 0.055
    exposure: float = 0.25
    lattice: float = 4.08
    reflection: tuple[int, int, int] = (1, 1, 1)
    temperature: float = 295.0
    crop: tuple[int, int, int] = (64, 128, 128)


def read_counts(path: Path) -> NDArray[Any]:
    """Read the (rocking, row, column) counts of an npz file with the key ``counts``.

    Raises
    ------
    ValueError
        There is no such array, or it is no stack of counts.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            counts = np.asarray(stored["counts"])
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"an npz file with the array 'counts' was expected, {str(path)!r} came ({error})"
        ) from error
    if counts.ndim != 3 or min(counts.shape) < 2 or not np.issubdtype(counts.dtype, np.number):
        raise ValueError(
            f"'counts' must be numbers, (rocking, row, column); {counts.shape!r} of {counts.dtype} came"
        )
    if not np.array_equal(counts, np.floor(counts)):
        raise ValueError(
            f"counts must be whole numbers, {counts.dtype} with fractions or NaN came; use raw counts"
        )
    if counts.min() < 0 or counts.max() > np.iinfo(np.uint32).max:
        raise ValueError(f"counts must lie in 0 … 2³²−1, {counts.min()} … {counts.max()} came; convert them")
    return counts


def ingest_documents(
    counts: NDArray[Any], scan: Aps34idcScan, frames_folder: Path, *, name: str, operator: str = ""
) -> Iterator[Document]:
    """Write the frames under `frames_folder` and yield the run's documents.

    Parameters
    ----------
    counts
        (points, rows, cols) counts.
    scan
        How they were taken.
    frames_folder
        A folder that the catalogue's server may read.
    name
        Of the sample; also the beginning of the series' uid.
    operator
        Who ingests it.
    """
    points, rows, cols = counts.shape
    start = _start(scan, name, points, (rows, cols), operator)
    theta = scan.theta_start + scan.theta_step * np.arange(points)
    times = np.asarray(float(start["time"]) + scan.exposure * np.arange(1, points + 1), dtype=np.float64)
    temperature, monitor = np.full(points, scan.temperature), np.ones(points)
    path = frames_folder / start["series_uid"] / f"{start['uid']}.h5"
    in_file = {"eta": theta, "Tsample": temperature, "monitor": monitor, "timestamp": times}
    write_frames(path, counts, in_file, start)
    columns = {
        "th": theta,
        "Tsample": temperature,
        "ic1monitor": monitor,
        "merlin_total": counts.sum(axis=(1, 2), dtype=np.float64),
        "merlin_max": counts.max(axis=(1, 2)).astype(np.float64),
    }
    baseline = {"delta": scan.delta, "gam": scan.gamma, "chi": scan.chi, "phi": scan.phi}
    yield from scan_documents(start, path, (rows, cols), columns, timestamps=times, baseline=baseline)


def _start(
    scan: Aps34idcScan, name: str, points: int, shape: tuple[int, int], operator: str
) -> dict[str, Any]:
    import event_model

    now = datetime.datetime.now(tz=datetime.UTC)
    series_uid = f"{file_name(name)}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    a = scan.lattice
    metadata: Mapping[str, Any] = {
        "plan_name": "ingest",
        "purpose": "rocking",
        "series_uid": series_uid,
        "series_index": 0,
        "series_size": 1,
        "branch": "heating",
        "attempt": 1,
        "temperature_setpoint": scan.temperature,
        "sample": name,
        "operator": operator,
        "simulated": False,
        "instrument": "APS 34-ID-C",
        "reflection": list(scan.reflection),
        "lattice": {"a": a, "b": a, "c": a, "alpha": 90.0, "beta": 90.0, "gamma": 90.0},
        "energy": scan.energy,
        "crop": list(scan.crop),
        "detector": {
            "name": "merlin",
            "distance_mm": scan.distance_mm,
            "pixel_size_mm": scan.pixel_size_mm,
            "shape": list(shape),
            "roi": [0, shape[0], 0, shape[1]],
            "bad_pixel": None,
            "saturation": None,
        },
        "scan": {
            "axis": "th",
            "start": scan.theta_start,
            "stop": scan.theta_start + scan.theta_step * (points - 1),
            "step": scan.theta_step,
            "num": points,
            "exposure": scan.exposure,
        },
    }
    return dict(event_model.compose_run(metadata=dict(metadata)).start_doc)


Consumer = Callable[[str, dict[str, Any]], Any]


def runs_to_replay(catalogue: Catalogue, which: Any) -> list[Any]:
    """Return the runs that `which` names.

    Parameters
    ----------
    catalogue
        Where they are stored.
    which
        Uid of a series, -1 for the last series, uid of a run, or a run (``db[-1]``).

    Raises
    ------
    UnknownRunError
        Nothing stored answers to it.
    """
    from callbacks.catalogue import UnknownRunError

    if str(which) == "-1":
        return series_runs(catalogue, last_series(catalogue))
    if isinstance(which, str):
        try:
            return series_runs(catalogue, which)
        except UnknownRunError as unknown:
            try:
                return [find_run(catalogue, which)]
            except UnknownRunError:
                raise unknown from None
    start = getattr(which, "start", None)
    if start is None:
        raise UnknownRunError(
            f"a stored run, the uid of a series or -1 was expected, {which!r} came; try replay(db[-1])"
        )
    return [find_run(catalogue, str(start["uid"]))]


def send(runs: Iterable[Any], *consumers: Consumer) -> int:
    """Send the documents of stored runs to `consumers`, run by run; return the number of runs."""
    count = 0
    for run in runs:
        for name, doc in as_v3(run).documents():
            for consumer in consumers:
                consumer(name, dict(doc))
        count += 1
    return count
