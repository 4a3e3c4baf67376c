"""Motor axes: virtual time, limits, stopping, and many short motions in a row."""

import threading
import time

import pytest
from ophyd.utils import LimitError

from profile_collection.devices.simulated.axes import SimulatedAxis
from profile_collection.twin import Clock


def make_axis(clock, **kwargs):
    return SimulatedAxis(name="eta", clock=clock, limits=(-20, 100), speed=0.5, egu="degrees", **kwargs)


def test_a_move_takes_distance_over_speed_of_virtual_time():
    clock = Clock()
    axis = make_axis(clock, position=1.0)
    before = clock.now()
    axis.set(3.0).wait(timeout=5)
    assert axis.position == 3.0
    assert clock.now() - before == pytest.approx(4.0)


def test_the_twin_is_told_the_positions_on_the_way():
    seen = []
    axis = make_axis(Clock(pace=20), on_position=seen.append)
    axis.set(2.0).wait(timeout=5)
    assert len(seen) >= 3
    assert seen == sorted(seen)
    assert seen[-1] == 2.0


@pytest.mark.parametrize("position", [100.001, -20.5, float("nan"), float("inf")])
def test_positions_out_of_reach_are_refused_in_words(position):
    axis = make_axis(Clock())
    with pytest.raises(LimitError, match=r"eta must be a number from -20 to 100 degrees, got"):
        axis.set(position)
    assert axis.position == 0.0


@pytest.mark.parametrize("success", [True, False])
def test_stop_ends_the_motion_where_it_is(success):
    axis = make_axis(Clock(pace=20))
    status = axis.set(50.0)  # five real seconds
    time.sleep(0.3)
    axis.stop(success=success)
    stopped_at = axis.position
    assert status.done
    assert status.success == success
    assert 0 < stopped_at < 45
    time.sleep(0.2)
    assert axis.position == stopped_at


def test_a_new_target_ends_the_motion_to_the_old_one():
    axis = make_axis(Clock(pace=100))
    first = axis.set(50.0)
    time.sleep(0.1)
    second = axis.set(0.0)
    second.wait(timeout=5)
    assert not first.success
    assert "was stopped" in str(first.exception())
    assert axis.position == 0.0


def test_motions_that_follow_each_other_at_once_all_end():
    """The next move begins in the callback of the last, where ophyd's own bookkeeping loses one."""
    axis = make_axis(Clock())
    finished = threading.Event()

    def next_move(count):
        if count == 0:
            finished.set()
        else:
            axis.set(float(count % 7)).add_callback(lambda status: next_move(count - 1))

    next_move(150)
    assert finished.wait(timeout=10)
