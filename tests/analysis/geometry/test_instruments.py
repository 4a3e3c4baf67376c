"""Instruments are found by name, and say what is missing to know q."""

import numpy as np
import pytest

from analysis.experiment import load_experiment
from analysis.geometry import INSTRUMENTS, aps_34idc_geometry, i16_geometry, instrument_named

START = {
    "energy": 9.0,
    "scan": {"axis": "eta"},
    "detector": {"distance_mm": 1310.0, "pixel_size_mm": 0.055, "shape": [515, 515]},
}
ANGLES = {"mu": 0.0, "eta": 17.8, "chi": 90.0, "phi": 0.0, "delta": 25.1, "gam": 0.34}


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_described_experiments_name_an_instrument_that_is_there(name):
    assert instrument_named(load_experiment(name).instrument).name == "Diamond I16"


@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=lambda one: one.name)
def test_each_instrument_turns_a_start_document_and_its_axes_into_q(instrument):
    angles = dict.fromkeys(instrument.axes, 20.0)
    axis = instrument.axes[0]
    geometry = instrument.geometry({**START, "scan": {"axis": axis}}, angles)
    assert geometry.instrument == instrument.name
    assert np.isfinite(geometry.steps(257, 257, 0.01)).all()
    with pytest.raises(ValueError, match="needed to know q"):
        instrument.geometry(START, {axis: 20.0})


def test_the_geometry_is_that_of_the_instruments_own_function():
    i16 = instrument_named("Diamond I16").geometry(START, ANGLES)
    np.testing.assert_array_equal(i16.arm, i16_geometry(START, ANGLES).arm)
    aps = instrument_named("APS 34-ID-C").geometry(START, ANGLES)
    own = aps_34idc_geometry(
        delta=25.1, gamma=0.34, energy=9.0, distance=1310.0, pixel_size=0.055, shape=(515, 515)
    )
    np.testing.assert_array_equal(aps.arm, own.arm)


def test_an_unknown_instrument_is_refused_in_words():
    with pytest.raises(ValueError, match="the instrument must be one of .*; got 'ID99'"):
        instrument_named("ID99")
