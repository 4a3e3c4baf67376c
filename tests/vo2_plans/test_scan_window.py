"""The rocking curve's window."""

import pytest

from vo2_plans import EtaWindow


def test_the_published_window_has_221_points():
    window = EtaWindow(16.7, 18.9, 0.01, 30.0)
    positions = window.positions()
    assert window.num == len(positions) == 221
    assert (positions[0], positions[110], positions[-1]) == (16.7, 17.8, 18.9)
    assert window.seconds == pytest.approx(1.84 * 3600, rel=2e-3)


def test_positions_stay_within_the_window():
    window = EtaWindow(17.0, 17.35, 0.1, 1.0)
    assert window.positions() == [17.0, 17.1, 17.2, 17.3]


@pytest.mark.parametrize(
    ("eta", "shift"), [(17.8, 0), (17.804, 0), (17.807, 0.01), (17.651, -0.15), (18.3, 0.5)]
)
def test_the_centre_follows_by_whole_steps(eta, shift):
    window = EtaWindow(16.7, 18.9, 0.01, 30.0)
    moved = window.centred_on(eta)
    assert moved.start == pytest.approx(16.7 + shift, abs=1e-9)
    assert moved.stop == pytest.approx(18.9 + shift, abs=1e-9)
    assert moved.num == 221


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((18.9, 16.7, 0.01, 30.0), "upwards"),
        ((16.7, 16.7, 0.01, 30.0), "upwards"),
        ((float("nan"), 18.9, 0.01, 30.0), "finite angles"),
        ((16.7, float("inf"), 0.01, 30.0), "finite angles"),
        ((16.7, 18.9, 0.0, 30.0), "positive number of degrees"),
        ((16.7, 18.9, -0.01, 30.0), "positive number of degrees"),
        ((16.7, 18.9, float("nan"), 30.0), "positive number of degrees"),
        ((16.7, 18.9, 5.0, 30.0), "must fit into"),
        ((16.7, 18.9, 1e-9, 30.0), "at most 100000 positions"),
        ((16.7, 18.9, 0.01, 0.0), "positive number of seconds"),
        ((16.7, 18.9, 0.01, -3.0), "positive number of seconds"),
        ((16.7, 18.9, 0.01, "30"), "must be a number, got '30'"),
    ],
)
def test_impossible_windows_say_why(values, said):
    (problem,) = EtaWindow(*values).problems()
    assert said in problem
    assert "got" in problem


@pytest.mark.parametrize("given", [{"centre": "17.7"}, {"width": None}])
def test_a_window_about_text_is_refused_in_words(given):
    with pytest.raises(ValueError, match="of a window must be a number of degrees; got"):
        EtaWindow.about(**({"centre": 17.7, "width": 1.0, "points": 11, "exposure": 1.0} | given))


def test_a_good_window_has_no_problems():
    assert EtaWindow(16.7, 18.9, 0.01, 30.0).problems() == []


def test_the_same_window_by_its_ends_by_its_centre_and_from_a_document():
    window = EtaWindow(16.7, 18.9, 0.01, 30.0)
    assert EtaWindow.about(17.8, width=2.2, points=221, exposure=30.0) == window
    assert EtaWindow.of(window) is window
    assert EtaWindow.of(window.as_metadata()) == window
    assert EtaWindow.of({"centre": 17.8, "width": 2.2, "points": 221, "exposure": 30.0}) == window
    assert window.changed(step=0.02, exposure=None) == EtaWindow(16.7, 18.9, 0.02, 30.0)


@pytest.mark.parametrize("given", [(16.7, 18.9, 0.01), {"start": 16.7}, None, {"eta_start": 16.7}])
def test_what_is_no_window_is_refused_in_words(given):
    with pytest.raises(ValueError, match="a rocking window has start, stop, step and exposure, or centre"):
        EtaWindow.of(given)


@pytest.mark.parametrize("points", [1, 2.5, True])
def test_a_window_has_a_whole_number_of_points(points):
    with pytest.raises(ValueError, match=f"whole number of points, at least 2; got {points!r}"):
        EtaWindow.about(17.8, width=1.0, points=points, exposure=30.0)
