"""The soft IOC's records, written and read over Channel Access as any client does."""

import time

import pytest

ETA = "MO-DIFF-01:ETA"


@pytest.fixture
def eta(pv):
    """Return the fields of eta by name, put back to where it was afterwards."""
    names = (
        "VAL",
        "RBV",
        "DMOV",
        "MOVN",
        "STOP",
        "LVIO",
        "HLM",
        "LLM",
        "BDST",
        "BVEL",
        "VELO",
        "SPMG",
        "EGU",
    )
    fields = {name: pv(f"{ETA}.{name}") for name in names}
    fields["VAL"].put(17.8, wait=True, timeout=60)
    yield fields
    for name, value in {
        "STOP": 1,
        "HLM": 100.0,
        "LLM": -20.0,
        "BDST": 0.0,
        "VELO": 0.5,
        "SPMG": "Go",
    }.items():
        fields[name].put(value, wait=True)


def followed(name):
    """Return a process variable of eta that keeps what it is told, and the list of that."""
    import epics

    values = []
    variable = epics.PV(f"VO2:{ETA}.{name}", callback=lambda value, **_: values.append(value))
    assert variable.wait_for_connection(timeout=15)
    return variable, values


def test_a_motor_moves_and_says_so(eta, eventually):
    (done, dones), (moving, movings) = followed("DMOV"), followed("MOVN")
    eventually(lambda: dones == [1] and movings == [0])
    eta["VAL"].put(18.3, wait=True, timeout=60)
    eventually(lambda: dones == [1, 0, 1] and movings == [0, 1, 0])
    assert eta["RBV"].get() == 18.3
    assert eta["EGU"].get(as_string=True) == "degrees"
    done.disconnect()
    moving.disconnect()


def test_a_motion_is_not_faster_than_its_speed(eta, pv):
    """On a busy machine it may be slower: the simulation's clock runs 20 times as fast as ours."""
    now = pv("SIM:NOW")
    begin = now.get()
    eta["VAL"].put(20.8, wait=True, timeout=60)
    assert now.get() - begin > 0.6 * 3.0 / 0.5


def test_soft_limits_hold_in_the_record(eta):
    eta["VAL"].put(500.0, wait=True)
    assert eta["LVIO"].get() == 1
    assert (eta["VAL"].get(), eta["RBV"].get()) == (17.8, 17.8)
    eta["HLM"].put(18.0, wait=True)
    eta["VAL"].put(18.1, wait=True)
    assert (eta["LVIO"].get(), eta["RBV"].get()) == (1, 17.8)
    eta["VAL"].put(17.9, wait=True)
    assert (eta["LVIO"].get(), eta["RBV"].get()) == (0, 17.9)
    assert eta["VAL"].get_ctrlvars()["upper_ctrl_limit"] == 18.0
    for limit in ("HLM", "LLM"):  # both 0: none
        eta[limit].put(0.0, wait=True)
    eta["VAL"].put(18.1, wait=True, timeout=60)
    assert (eta["LVIO"].get(), eta["RBV"].get()) == (0, 18.1)


def test_stop_stops_on_the_way(eta, eventually):
    eta["VAL"].put(60.0, wait=False)
    eventually(lambda: eta["DMOV"].get() == 0)
    time.sleep(0.5)
    eta["STOP"].put(1, wait=True)
    eventually(lambda: eta["DMOV"].get() == 1)
    stands = eta["RBV"].get()
    assert 17.8 < stands < 60.0
    assert eta["VAL"].get() == stands
    time.sleep(0.3)
    assert eta["RBV"].get() == stands


def test_backlash_is_taken_up_from_one_side(eta, eventually):
    eta["BDST"].put(0.5, wait=True)
    watched, visited = followed("RBV")
    eta["VAL"].put(16.8, wait=True, timeout=60)
    assert eta["RBV"].get() == 16.8
    eventually(lambda: visited and min(visited) == pytest.approx(16.3))
    watched.disconnect()


def test_spmg_stop_refuses_motions(eta):
    eta["SPMG"].put("Stop", wait=True)
    eta["VAL"].put(18.0, wait=True)
    assert eta["RBV"].get() == 17.8


@pytest.mark.parametrize(
    ("record", "asked", "kept"),
    [
        ("EA-LS336-01:SETP_S1", 900.0, 400.0),
        ("EA-LS336-01:SETP_S1", 4.0, 295.0),
        ("EA-LS336-01:RAMP_S1", 500.0, 20.0),
        ("EA-LS336-01:RAMP_S1", 0.0, 0.1),
        ("EA-LS340-01:SETP_S", 900.0, 400.0),
    ],
)
def test_temperature_and_ramp_are_cut_down_by_the_record(pv, record, asked, kept):
    demand = pv(record)
    before = demand.get()
    demand.put(asked, wait=True)
    assert demand.get() == kept
    assert pv(record.replace("_S", "")).get() == kept
    demand.put(before, wait=True)


def test_the_limits_of_the_heater_cannot_be_written(pv):
    highest = pv("EA-LS336-01:SETP_S1.DRVH")
    highest.put(900.0, wait=True)
    assert highest.get() == 400.0


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("controller", ["EA-LS336-01", "EA-LS340-01"])
def test_controllers_have_four_inputs(pv, controller, number):
    assert pv(f"{controller}:KRDG{number}").get() == pytest.approx(305, abs=10.0)


def test_a_heater_that_is_off_heats_nothing(pv):
    heater, switch = pv("EA-LS336-01:HTR1"), pv("EA-LS336-01:RANGE_S1")
    switch.put(0, wait=True)
    assert heater.get() == 0.0
    switch.put(3, wait=True)
    assert heater.get() > 0.0


def test_the_attenuator_never_lets_more_through_than_asked(pv):
    demand, actual = pv("OP-ATTN-01:TRANSMISSION"), pv("OP-ATTN-01:TRANSMISSION_RBV")
    demand.put(0.03, wait=True)
    assert actual.get() == 0.02
    demand.put(1.0, wait=True)
    assert actual.get() == 1.0


def test_a_file_outside_the_data_folder_is_refused(pv, tmp_path):
    hdf = "EA-DET-01:HDF5:"
    for name, value in {"FilePath": f"{tmp_path}/", "FileName": "stolen", "FileTemplate": "%s%s.h5"}.items():
        pv(hdf + name).put(value, wait=True)
    pv(hdf + "Capture").put(1, wait=True)
    assert pv(hdf + "Capture").get() == 0
    assert pv(hdf + "WriteStatus").get(as_string=True) == "Write error"
    assert "are written below" in pv(hdf + "WriteMessage").get(as_string=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "template", ["%d%d%d.h5", "%s%s%999999999d.h5", "../%s%s.h5", "%s%s/../../x.h5", "%x"]
)
def test_a_file_template_that_is_none_fails_the_capture_and_the_ioc_goes_on(pv, template):
    hdf = "EA-DET-01:HDF5:"
    pv(hdf + "FileTemplate").put(template, wait=True)
    pv(hdf + "Capture").put(1, wait=True)
    assert pv(hdf + "Capture").get() == 0
    assert "a file template of the form" in pv(hdf + "WriteMessage").get(as_string=True)
    pv(hdf + "FileTemplate").put("%s%s_%6.6d.h5", wait=True)
