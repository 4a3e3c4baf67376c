"""The rule that chooses temperatures, on hand-made order parameters."""

import math

import pytest
from bluesky_adaptive.protocols import Optimizer, SupportsStoppingCriteria

from vo2_plans.temperature_rule import FollowTheChange, TemperatureRange


def ranged(scans=12, branches="heating", **changed):
    given = {"start": 320.0, "stop": 365.0, "min_step": 1.0, "max_step": 7.5} | changed
    return TemperatureRange(**given, scans=scans, branches=branches)


def played(wanted, order=None, error=2.0):
    """Let the rule measure `order(T, branch)` to its end; None stands for a result that is not there."""
    rule, points = FollowTheChange(wanted), []
    while suggested := rule.suggest():
        (point,) = suggested
        rule.ingest([point])
        value = None if order is None else order(point["temperature"], point["branch"])
        points.append({**point, "order_parameter": value, "error": error})
        rule.ingest(points)
    return rule, points


def step(temperature, branch="heating", t_c=341.0, width=2.0):
    return -120.0 * (1 + math.tanh((temperature - t_c) / width)) / 2


def kelvin(points, passage=0):
    return [point["temperature"] for point in points if point["passage"] == passage]


def test_it_is_an_optimizer_of_bluesky_adaptive():
    rule = FollowTheChange(ranged())
    assert isinstance(rule, Optimizer)
    assert isinstance(rule, SupportsStoppingCriteria)


def test_without_results_it_measures_the_fixed_grid():
    rule, points = played(ranged(scans=10))
    assert kelvin(points) == pytest.approx(
        [320, 327.5, *[327.5 + n * 37.5 / 8 for n in range(1, 9)]], abs=0.01
    )
    assert all(point["fallback"] for point in points[2:-2])
    assert "no trusted result of 320 K and 327.5 K" in points[2]["reason"]
    assert rule.should_stop()[0]


@pytest.mark.parametrize("scans", [7, 8, 10, 14])
def test_heating_never_goes_back_and_reaches_the_end_within_the_beam_time(scans):
    for t_c in (323.0, 335.5, 347.0, 362.0):
        _, points = played(ranged(scans), lambda t, _, t_c=t_c: step(t, t_c=t_c))
        found = kelvin(points)
        steps = [b - a for a, b in zip(found, found[1:], strict=False)]
        assert found[0] == 320
        assert found[-1] == 365
        assert len(found) <= scans
        assert min(steps) > 1 - 1e-3
        assert max(steps) < 7.5 + 1e-3


def test_it_steps_closely_where_the_order_parameter_changes():
    _, points = played(ranged(14), lambda t, _: step(t, width=4.0))
    found = kelvin(points)
    assert sum(336 < value < 350 for value in found) >= 4  # of the evenly spaced ones 2
    small = next(point for point in points if "the smallest step" in point["reason"])
    assert "rad counts" in small["reason"]


def test_a_change_within_the_errors_is_none():
    _, points = played(ranged(14), lambda t, _: 3.0 * math.sin(t), error=2.0)
    assert not any("smallest" in point["reason"] for point in points)
    assert kelvin(points)[-1] == 365


def test_a_second_heating_pass_halves_what_the_first_has_found():
    wanted = ranged(12, "heating,heating")
    _, points = played(wanted, step)
    assert len(kelvin(points, 0)) == wanted.coarse == 7
    second = kelvin(points, 1)
    assert second == sorted(second)
    assert len(second) == 5
    assert all(335 <= value <= 347.5 for value in second)
    assert {point["branch"] for point in points} == {"heating"}


def test_cooling_begins_where_heating_ended_and_keeps_its_own_points():
    _, points = played(
        ranged(20, "heating,cooling"), lambda t, b: step(t, t_c=341 if b == "heating" else 333)
    )
    down = kelvin(points, 1)
    assert kelvin(points, 0)[-1] == 365
    assert down == sorted(down, reverse=True)
    assert down[0] < 365
    assert down[-1] == 320
    assert len(points) <= 20


def test_published_values_that_move_replace_those_of_before():
    rule = FollowTheChange(ranged(14))
    for index, temperature in enumerate((320.0, 327.5)):
        rule.ingest(
            [{"_id": index, "temperature": temperature, "passage": 0, "order_parameter": 0.0, "error": 1.0}]
        )
    assert rule.suggest()[0]["temperature"] > 334
    moved = {"_id": 1, "temperature": 327.5, "passage": 0, "order_parameter": -40.0, "error": 1.0}
    rule.ingest([moved])
    assert rule.suggest()[0]["temperature"] == 328.5


def test_it_waits_only_for_what_the_choice_depends_on():
    rule = FollowTheChange(ranged(14))
    assert rule.waits_for() == []
    rule.ingest([{"_id": 0, "temperature": 320.0, "passage": 0}])
    assert rule.waits_for() == []  # the first step is the largest in any case
    rule.ingest([{"_id": 1, "temperature": 327.5, "passage": 0}])
    assert rule.waits_for() == [0, 1]
    full = FollowTheChange(ranged(7))
    full.ingest([{"_id": n, "temperature": 320 + 7.5 * n, "passage": 0} for n in range(3)])
    assert full.waits_for() == []  # just enough scans for even steps


def test_the_steepest_change_is_its_best_point():
    rule, _ = played(ranged(14), lambda t, _: step(t, width=4.0))
    ((_, where, change),) = rule.get_best_points()
    assert 338 < where["temperature"] < 345
    assert change["change_per_K"] > 10


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"stop": 310.0}, "stop must be hotter"),
        ({"min_step": 0.0}, "steps must be positive"),
        ({"start": float("nan")}, "start must be a finite number"),
        ({"branches": "cooling"}, "branches must be one of"),
        ({"scans": 4}, "enough for 7 scans"),
    ],
)
def test_what_cannot_be_measured_is_said_in_words(changed, told):
    (problem, *_) = ranged(**changed).problems()
    assert told in problem
