"""Instruments are found by name, and say what is missing to know q."""

import numpy as np
import pytest

from analysis.experiment import load_experiment
from analysis.geometry import INSTRUMENTS, gaps_of, instrument_named

START = {
    "energy": 9.0,
    "scan": {"axis": "eta"},
    "detector": {"distance_mm": 1310.0, "pixel_size_mm": 0.055, "shape": [515, 515]},
}


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


def test_circles_have_other_names_and_the_direct_beam_may_be_anywhere():
    detector = {"distance_mm": 500.0, "pixel_size_mm": 0.055, "shape": [20, 30], "direct_beam": [7.0, 21.0]}
    start = {"energy": 9.0, "scan": {"axis": "Theta"}, "detector": detector}
    named, short = (
        instrument_named("34idc").geometry(start, {first: 32.17, second: 12.63})
        for first, second in (("Delta", "Gamma"), ("del", "gam"))
    )
    np.testing.assert_array_equal(named.arm, short.arm)
    assert named.centre == (7.0, 21.0)


def test_gaps_are_the_start_documents_and_else_the_instruments():
    start = {**START, "instrument": "Diamond I16"}
    assert gaps_of(start) == (256, 257, 258)
    assert gaps_of({**start, "detector": {**START["detector"], "gaps": [10, 11]}}) == (10, 11)
    assert gaps_of(START) == ()
    assert instrument_named("i16").geometry({**start, "energy": 9.0}, {"mu": 0, "gam": 0, "delta": 25}).gaps


def test_an_instrument_is_found_by_a_part_of_its_name_that_no_other_has():
    assert [instrument_named(name).name for name in ("i16", "34-ID-C", "id01")] == list(INSTRUMENTS)
    for name in ("ID99", "id", ""):
        with pytest.raises(ValueError, match=f"the instrument must be one of .*; got '{name}'"):
            instrument_named(name)
