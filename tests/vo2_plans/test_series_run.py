"""A whole small series, run by a real RunEngine on the twin: documents, metadata, files, and how it ends."""

import json

import h5py
import numpy as np
import pytest

from vo2_plans import EtaWindow, temperature_series
from vo2_plans.run_metadata import branch_of

WINDOW = EtaWindow(17.7, 17.9, 0.02, 10.0)
START_KEYS = {
    "plan_name", "purpose", "series_uid", "series_index", "series_size", "branch", "attempt",
    "temperature_setpoint", "sample", "proposal", "operator", "software_version", "simulated", "reflection",
    "lattice", "UB", "energy", "detector", "crystal_size_nm", "scan",
}  # fmt: skip
EVENT_KEYS = {
    "eta", "Tsample", "Ta", "Tb", "Tc", "Td", "Theater", "Tset", "ic1monitor", "rc", "transmission",
    "merlin_frame_index", "merlin_total", "merlin_max",
}  # fmt: skip
BASELINE_KEYS = {"mu", "eta", "chi", "phi", "delta", "gam", "sx", "sy", "sz", "en", "merlin_acquire_time"}


@pytest.fixture
def series(beamline, engine, documents):
    engine(temperature_series(beamline, [320, 330, 325], WINDOW))
    return documents


def rocking(documents):
    return [start for start in documents.of("start") if start["purpose"] == "rocking"]


def test_start_documents_say_everything(series):
    starts = rocking(series)
    assert all(set(start) >= START_KEYS for start in series.of("start"))
    assert [start["series_index"] for start in starts] == [0, 1, 2]
    assert [start["temperature_setpoint"] for start in starts] == [320, 330, 325]
    assert [start["branch"] for start in starts] == ["heating", "heating", "cooling"]
    assert {start["attempt"] for start in starts} == {1}
    assert {start["series_size"] for start in starts} == {3}
    assert len({start["series_uid"] for start in series.of("start")}) == 1
    assert starts[0]["detector"] == {
        "name": "merlin",
        "distance_mm": 1310.0,
        "pixel_size_mm": 0.055,
        "shape": [515, 515],
        "roi": [96, 160, 96, 160],
        "gaps": [256, 257, 258],
        "bad_pixel": None,
        "saturation": 2**24 - 1,
    }
    json.dumps(starts)


def test_ub_turns_the_reflection_into_its_momentum_transfer(series):
    ub = np.array(rocking(series)[0]["UB"])
    assert np.linalg.norm(ub @ [0, 1, 1]) == pytest.approx(1.9594, abs=1e-4)


def test_events_have_their_keys(series):
    assert all(set(event["data"]) >= EVENT_KEYS for event in series.events("primary"))
    assert all(set(event["data"]) >= BASELINE_KEYS for event in series.events("baseline"))
    assert len(series.events("baseline")) == 2 * len(series.of("start"))
    temperatures = [event["data"]["Tsample"] for event in series.events("primary")]
    setpoints = [event["data"]["Tset"] for event in series.events("primary")]
    np.testing.assert_allclose(temperatures, setpoints, atol=0.3)


def test_every_run_succeeded_and_has_its_points(series):
    assert [stop["exit_status"] for stop in series.of("stop")] == len(series.of("start")) * ["success"]
    primary = [stop["num_events"]["primary"] for stop in series.of("stop")]
    assert primary == [start["scan"]["num"] for start in series.of("start")]


def test_files_hold_frames_and_start_document(series, beamline):
    resources = {resource["run_start"]: resource["uri"] for resource in series.of("stream_resource")}
    events = {d["run_start"]: d["uid"] for d in series.of("descriptor") if d["name"] == "primary"}
    for start in rocking(series):
        with h5py.File(resources[start["uid"]].removeprefix("file://localhost")) as file:
            assert json.loads(file["entry"].attrs["start"])["uid"] == start["uid"]
            data = file["/entry/instrument/merlin/data"]
            assert data.shape == (start["scan"]["num"], 64, 64)
            mine = [e["data"] for e in series.of("event") if e["descriptor"] == events[start["uid"]]]
            np.testing.assert_array_equal(data[:].sum(axis=(1, 2)), [event["merlin_total"] for event in mine])
            np.testing.assert_allclose(
                file["/entry/instrument/merlin/eta"][:], [event["eta"] for event in mine]
            )
            np.testing.assert_allclose(file["/entry/instrument/merlin/exposure_time"][:], 10.0)
    folder = beamline.merlin.data_folder / "raw" / "frames" / rocking(series)[0]["series_uid"]
    assert len(list(folder.iterdir())) == len(series.of("start"))


def test_it_ends_with_the_shutter_closed_and_the_heater_on(series, beamline):
    assert beamline.beam.shutter.position == "closed"
    assert beamline.heated_stage.setpoint == 325
    assert len(rocking(series)) == 3


def test_metadata_of_the_caller_goes_into_every_run(beamline, engine, documents):
    engine(temperature_series(beamline, [320], WINDOW, md={"note": "first"}, series_uid="mine"))
    assert {(start["note"], start["series_uid"]) for start in documents.of("start")} == {("first", "mine")}


def test_a_soak_that_fails_ends_the_series_in_words(beamline, engine, documents):
    beamline.heated_stage.timeout.put(120.0)  # 45 K at 5 K/min need 540 s
    with pytest.raises(RuntimeError, match="heated_stage did not settle at 345"):
        engine(temperature_series(beamline, [345], WINDOW))
    assert beamline.heated_stage.setpoint == 345
    assert beamline.beam.shutter.position == "closed"
    assert documents == []


def test_a_detector_that_fails_ends_the_run_and_closes_the_shutter(beamline, engine, documents):
    frames = []
    expose = beamline.twin.expose

    def break_down(exposure_time, cancel=None):
        frames.append(exposure_time)
        if len(frames) == 30:
            raise OSError("the read-out electronics do not answer")
        return expose(exposure_time, cancel)

    beamline.twin.expose = break_down
    with pytest.raises(RuntimeError, match="merlin could not take a frame: the read-out electronics do not"):
        engine(temperature_series(beamline, [320], WINDOW))
    assert beamline.beam.shutter.position == "closed"
    assert documents.of("stop")[-1]["exit_status"] == "fail"
    assert "read-out electronics" in documents.of("stop")[-1]["reason"]
    assert beamline.merlin.file_path is None


def test_a_repeated_temperature_stays_on_the_branch_on_which_it_was_reached():
    cycle = [320.0, 350.0, 350.0, 320.0, 320.0, 350.0]
    branches = [branch_of(cycle, index, 295.0) for index in range(6)]
    assert branches == ["heating", "heating", "heating", "cooling", "cooling", "heating"]
    assert branch_of([320.0], 0, 320.0) == "heating"
    assert branch_of([350.0, 335.0, 320.0], 0, 360.0) == "cooling"
