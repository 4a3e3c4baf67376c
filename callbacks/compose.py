"""Documents of a scan whose frames already lie in a file: for other beamlines' data and after a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import event_model
import numpy as np
from numpy.typing import NDArray

from callbacks.collector import FRAME_INDEX, IMAGE
from callbacks.frames import DATASET, MIMETYPE
from callbacks.journal import Document


def scan_documents(
    start: Mapping[str, Any],
    frame_file: Path,
    shape: tuple[int, int],
    columns: Mapping[str, NDArray[np.float64]],
    *,
    timestamps: NDArray[np.float64] | None = None,
    baseline: Mapping[str, float] | None = None,
    exit_status: str = "success",
    reason: str = "",
) -> Iterator[Document]:
    """Yield the documents that a rocking scan with these frames would have emitted.

    Parameters
    ----------
    start
        Start document; its ``uid`` and ``time`` are kept where it has them.
    frame_file
        HDF5 file in the detector's layout.
    shape
        Rows and columns of a frame.
    columns
        Event key to (points,) values; frame n belongs to point n.
    timestamps
        (points,) epoch seconds of the points; now, where they are not known.
    baseline
        Event key to value of what stood still.
    exit_status, reason
        Of the stop document.
    """
    points = len(next(iter(columns.values())))
    times = np.full(points, time.time()) if timestamps is None else timestamps
    run: Any = event_model.compose_run(
        uid=start.get("uid"),
        time=start.get("time"),
        metadata={key: value for key, value in start.items() if key not in ("uid", "time")},
    )
    yield "start", dict(run.start_doc)
    if baseline:
        yield from _baseline(run, baseline, float(times[0]))
    yield from _primary(run, frame_file, shape, columns, times)
    yield "stop", dict(run.compose_stop(exit_status=exit_status, reason=reason))


def _baseline(run: Any, values: Mapping[str, float], when: float) -> Iterator[Document]:
    keys = {key: _scalar(key) for key in values}
    stream = run.compose_descriptor(name="baseline", data_keys=keys, time=run.start_doc["time"])
    yield "descriptor", dict(stream.descriptor_doc)
    yield "event", dict(stream.compose_event(data=dict(values), timestamps=dict.fromkeys(values, when)))


def _primary(
    run: Any,
    frame_file: Path,
    shape: tuple[int, int],
    columns: Mapping[str, NDArray[np.float64]],
    times: NDArray[np.float64],
) -> Iterator[Document]:
    keys = {key: _scalar(key) for key in (*columns, FRAME_INDEX)} | {IMAGE: image_key(shape)}
    # The catalogue replays by time: a descriptor of now would come after the events that it describes.
    stream = run.compose_descriptor(name="primary", data_keys=keys, time=run.start_doc["time"])
    yield "descriptor", dict(stream.descriptor_doc)
    resource, datum = announce(run, stream.descriptor_doc, frame_file, shape, len(times))
    yield "stream_resource", resource
    yield "stream_datum", datum
    for number, when in enumerate(times):
        data: dict[str, Any] = {key: float(values[number]) for key, values in columns.items()}
        data[FRAME_INDEX] = number
        stamps = dict.fromkeys(data, float(when))
        yield "event", dict(stream.compose_event(data=data, timestamps=stamps, time=float(when)))


def announce(
    run: Any, descriptor: Any, frame_file: Path, shape: tuple[int, int], count: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the StreamResource and the one StreamDatum of a whole file."""
    bundle = event_model.compose_stream_resource(
        mimetype=MIMETYPE,
        uri="file://localhost" + quote(frame_file.resolve().as_posix()),
        data_key=IMAGE,
        parameters={"dataset": DATASET, "swmr": True, "chunk_shape": [1, *shape]},
        start=run.start_doc,
    )
    whole = event_model.StreamRange(start=0, stop=count)
    seq_nums = event_model.StreamRange(start=1, stop=count + 1)
    datum = bundle.compose_stream_datum(indices=whole, seq_nums=seq_nums, descriptor=descriptor)
    return dict(bundle.stream_resource_doc), dict(datum)


def image_key(shape: tuple[int, int]) -> dict[str, Any]:
    """Return the data key of the frames; without the frames' own ``dtype_numpy`` Tiled cannot read them."""
    return {
        "dtype": "array",
        "dtype_numpy": "<u4",
        "shape": list(shape),
        "source": "merlin",
        "external": "STREAM:",
        "units": "counts",
    }


def _scalar(key: str) -> dict[str, Any]:
    whole = key == FRAME_INDEX
    return {
        "dtype": "integer" if whole else "number",
        "dtype_numpy": "<i8" if whole else "<f8",
        "shape": [],
        "source": "file",
    }
