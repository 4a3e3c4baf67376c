"""A pause within an exposure over Channel Access: frames stay with their points, the heater is left alone."""

import threading

import h5py
import hdf5plugin  # noqa: F401  registers the decompression filters
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from event_model import DocumentNames, schema_validators

from vo2_plans import EtaWindow, SeriesPlace, rocking_scan

pytestmark = pytest.mark.slow

WINDOW = EtaWindow(17.7, 17.8, 0.02, 20.0)  # a real second each


def test_a_pause_within_an_exposure_keeps_frames_with_their_points(beamline):
    engine, documents = RunEngine({}, context_managers=[]), []

    def keep(name, document):
        schema_validators[DocumentNames[name]].validate(document)
        documents.append((name, document))
        if name == "event" and "merlin_total" in document["data"] and document["seq_num"] == 2:
            threading.Timer(0.5, engine.request_pause).start()

    engine.subscribe(keep)
    place = SeriesPlace("paused", 0, 1, 301.0)
    with pytest.raises(RunEngineInterrupted):
        engine(rocking_scan(beamline, WINDOW, place=place))
    assert beamline.beam.shutter.position == "closed"
    assert beamline.heated_stage.setpoint == 301.0
    engine.resume()
    events = [d["data"] for name, d in documents if name == "event" and "merlin_total" in d["data"]]
    assert [event["eta"] for event in events] == [17.7, 17.72, 17.74, 17.76, 17.78, 17.8]
    (resource,) = [d for name, d in documents if name == "stream_resource"]
    index = [event["merlin_frame_index"] for event in events]
    with h5py.File(resource["uri"].removeprefix("file://localhost")) as stored:
        group = stored["/entry/instrument/merlin"]
        np.testing.assert_array_equal(group["eta"][:][index], [event["eta"] for event in events])
        totals = group["data"][:].sum(axis=(1, 2))[index]
        np.testing.assert_array_equal(totals, [event["merlin_total"] for event in events])
