"""Hand-made scans: frames in a file, and the documents a detector would have emitted for them."""

import itertools
import threading
from pathlib import Path
from types import SimpleNamespace

import event_model
import h5py
import numpy as np
import pytest

DATASET = "/entry/instrument/merlin/data"


def make_start(**changes):
    start = {
        "plan_name": "rocking_scan",
        "purpose": "rocking",
        "series_uid": "20260101-000000-abcdef",
        "series_index": 0,
        "series_size": 1,
        "branch": "heating",
        "attempt": 1,
        "temperature_setpoint": 320.0,
        "sample": "test crystal",
        "simulated": True,
        "energy": 9.0,
        "detector": {"shape": [4, 5], "roi": [0, 4, 0, 5], "distance_mm": 1310.0, "pixel_size_mm": 0.055},
        "scan": {"axis": "eta", "start": 17.0, "stop": 17.04, "step": 0.01, "num": 5, "exposure": 30.0},
    }
    return {**start, **changes}


def make_documents(path, points, *, start=None, frames=None, retaken=(), exit_status="success"):
    """Yield documents in the RunEngine's order; `retaken` points come twice, the first with a lost frame."""
    metadata = make_start(**(start or {}))
    metadata["scan"] = {**metadata["scan"], "num": points}
    run = event_model.compose_run(metadata=metadata)
    yield "start", run.start_doc
    still = dict.fromkeys(("mu", "eta", "chi", "phi", "delta", "gam"), 1.5)
    base = run.compose_descriptor(name="baseline", data_keys={k: scalar() for k in still})
    yield "descriptor", base.descriptor_doc
    yield "event", base.compose_event(data=still, timestamps=dict.fromkeys(still, 1.0))
    keys = {k: scalar() for k in ("eta", "Tsample", "ic1monitor")}
    keys["merlin_frame_index"] = scalar("integer")
    image = {"dtype": "array", "shape": [4, 5], "source": "x", "external": "STREAM:", "dtype_numpy": "<u4"}
    keys["merlin_image"] = image
    primary = run.compose_descriptor(name="primary", data_keys=keys)
    yield "descriptor", primary.descriptor_doc
    resource = event_model.compose_stream_resource(
        mimetype="application/x-hdf5",
        uri=f"file://localhost{Path(path).resolve()}",
        data_key="merlin_image",
        parameters={"dataset": DATASET, "chunk_shape": [1, 4, 5]},
        start=run.start_doc,
    )
    yield "stream_resource", resource.stream_resource_doc
    counter = itertools.count()
    for number in range(points):
        for attempt in range(2 if number + 1 in retaken else 1):
            index = next(counter)
            yield (
                "stream_datum",
                resource.compose_stream_datum(
                    indices={"start": index, "stop": index + 1},
                    seq_nums={"start": number + 1, "stop": number + 2},
                    descriptor=primary.descriptor_doc,
                ),
            )
            data = {
                "eta": 17.0 + 0.01 * number,
                "Tsample": 320.0 + attempt,
                "ic1monitor": 100.0,
                "merlin_frame_index": index if frames is None else frames[number],
            }
            event = primary.compose_event(data=data, timestamps=dict.fromkeys(data, 2.0), seq_num=number + 1)
            yield "event", event
    yield "stop", run.compose_stop(exit_status=exit_status)


def scalar(dtype="number"):
    return {"dtype": dtype, "shape": [], "source": "test"}


@pytest.fixture
def documents():
    """Return `make_documents` as lists of plain dictionaries."""
    return lambda *args, **kwargs: [(name, dict(doc)) for name, doc in make_documents(*args, **kwargs)]


@pytest.fixture
def frame_file(tmp_path):
    """Return an HDF5 file of eight frames; every pixel of frame n holds n."""
    path = tmp_path / "frames" / "scan.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file[DATASET] = np.arange(8, dtype="<u4")[:, None, None] * np.ones((8, 4, 5), dtype="<u4")
    return path


@pytest.fixture
def ingest_npz(tmp_path):
    """Return a maker of the documents of a small scan of APS 34-ID-C, taken in from an npz file."""
    from analysis.readers import Given, read_scans
    from callbacks.ingest import Extras, checked, ingest_documents

    usual = Given(
        instrument="34idc",
        energy=9.0,
        distance=500.0,
        pixel_size=0.055,
        axis="th",
        start=-0.28,
        step=0.005,
        exposure=0.25,
        positions={"delta": 32.174, "gamma": 12.6346, "chi": 90.0, "phi": -5.0},
        lattice=4.08,
        reflection=(1, 1, 1),
    )

    def make(counts, frames_folder, extras=None, *, name="gold", given=None, copies=1, **arrays):
        path = tmp_path / "scan.npz"
        np.savez(path, counts=counts, **arrays)
        said = usual if given is None else usual.completed(given)
        ready = checked(read_scans(path, said) * copies, extras or Extras())
        return list(
            ingest_documents(ready, frames_folder, name=name, extras=extras, given=said.said, operator="me")
        )

    return make


class Recorder:
    """A listener that remembers."""

    def __init__(self):
        self.queued, self.analysed, self.others, self.remarks = [], [], [], []
        self.changed = threading.Condition()

    def scan_queued(self, job):
        self.queued.append(job)

    def scan_analysed(self, summary):
        self.analysed.append(summary)

    def other_result(self, summary):
        with self.changed:
            self.others.append(summary)
            self.changed.notify_all()

    def warn(self, message):
        self.remarks.append(message)


@pytest.fixture
def listener():
    return Recorder()


@pytest.fixture
def collecting(tmp_path):
    """Return a collector with what it handed on and what it remarked."""
    from callbacks.collect import ScanCollector

    jobs, remarks = [], []
    collector = ScanCollector(
        jobs.append,
        warn=remarks.append,
        folder_of=lambda uid: tmp_path / "results" / uid,
        folders=[tmp_path / "frames"],
        seed=3,
    )
    return SimpleNamespace(collector=collector, jobs=jobs, remarks=remarks)


@pytest.fixture
def job(collecting, documents, frame_file):
    """Return a job of five points."""
    for name, doc in documents(frame_file, 5):
        collecting.collector(name, doc)
    return collecting.jobs[0]
