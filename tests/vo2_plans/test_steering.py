"""Wishes for a running series."""

import pytest

from vo2_plans.steering import Steering, TemperatureSkippedError, all_but, place_of

KELVIN = (320.0, 330.0, 340.0, 330.0)


def test_without_wishes_a_series_keeps_its_order():
    assert list(Steering().order(KELVIN, [0, 2, 3])) == [0, 2, 3]


def test_a_temperature_asked_for_again_comes_next_and_a_stop_ends_the_series():
    wishes, measured = Steering(), []
    for place in wishes.order(KELVIN, range(4)):
        measured.append(place)
        if len(measured) == 2:
            wishes.ask_again(320.0)
        if len(measured) == 4:
            wishes.stop = True
    assert measured == [0, 1, 0, 2]


def test_a_skip_is_heeded_once():
    wishes = Steering(skip=True)
    with pytest.raises(TemperatureSkippedError):
        wishes.heed_skip()
    wishes.heed_skip()


def test_of_a_temperature_measured_twice_the_last_place_is_meant_and_another_is_refused():
    assert place_of(330.0, KELVIN) == 3
    wishes = Steering(temperatures=KELVIN)
    with pytest.raises(ValueError, match=r"\(320, 330, 340, 330 K\) was expected, 345"):
        wishes.ask_again(345.0)


def test_for_a_retake_all_other_places_count_as_measured():
    assert all_but(1, {0: "a", 1: "b"}, 3) == {0: "a", 2: ""}
