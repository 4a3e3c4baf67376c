import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.figures import (
    calculated_intensity,
    diffraction_comparison,
    finish_curves,
    loss_curves,
    order_parameter,
    phase_slices,
    save_all,
)
from analysis.figures.one_page import with_error
from analysis.order_parameter import analyse_series

DRAWN = {
    "order_parameter": lambda results, series, **k: order_parameter(series, **k),
    "phase_slices": lambda results, series, **k: phase_slices(series, **k),
    "diffraction": lambda results, series, **k: diffraction_comparison(results, **k),
    "losses": lambda results, series, **k: loss_curves(results, **k),
    "finish": lambda results, series, **k: finish_curves(results, **k),
}


@pytest.fixture(scope="module")
def ten(hot_series, make_transfer):
    """Return ten results, the last four repeating earlier objects at higher temperatures.

    Every other one has had its transfer learning.
    """
    more = [
        dataclasses.replace(
            result,
            temperature=result.temperature + 20,
            temperature_setpoint=result.temperature_setpoint + 20,
            run_uid="more" + result.run_uid,
            series_index=result.series_index + 4,
        )
        for result in hot_series[2:]
    ]
    every = [*hot_series, *more]
    return [
        one if number % 2 else dataclasses.replace(one, transfer=make_transfer(number))
        for number, one in enumerate(every)
    ]


@pytest.fixture(scope="module", params=[1, 3, 10])
def drawable(request, ten):
    """Return results and series of 1, 3, 10 temperatures; of three one is not trusted and more will come."""
    results = {1: ten[:1], 3: [ten[0], ten[2], dataclasses.replace(ten[4], trusted=False)], 10: ten}[
        request.param
    ]
    return results, analyse_series(results, expected=10)


def texts(figure):
    return {text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()}


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_overlaps_or_leaves_the_page(drawable, name):
    figure = DRAWN[name](*drawable)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    ticks = {tick for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in _hidden_ticks(axis)}
    boxes = [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in ticks
    ]
    page = figure.bbox
    for text, box in boxes:
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
    for (first, one), (second, other) in itertools.combinations(boxes, 2):
        apart = (
            one.x1 <= other.x0 + 1
            or other.x1 <= one.x0 + 1
            or one.y1 <= other.y0 + 1
            or other.y1 <= one.y0 + 1
        )
        assert apart, (first, second)


def _hidden_ticks(axis):
    """Return tick labels that matplotlib keeps but does not draw: beyond the limits or switched off."""
    low, high = sorted(axis.get_view_interval())
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        outside = not low - 1e-9 <= tick.get_loc() <= high + 1e-9
        for label, on in ((tick.label1, tick.label1.get_visible()), (tick.label2, tick.label2.get_visible())):
            if outside or not on:
                yield label


@pytest.mark.parametrize("name", DRAWN)
def test_every_temperature_is_named_and_doubt_is_seen(drawable, name):
    results, series = drawable
    words = " ".join(texts(DRAWN[name](results, series)))
    if name != "order_parameter":
        for result in results:
            assert result.label in words
    if not series.trusted.all():
        assert "not trusted" in words
        assert name != "order_parameter" or "not trusted: 340 K" in words
    if len(results) == 3 and name in ("order_parameter", "phase_slices"):
        assert "3 of 10" in words


def test_untrusted_points_are_hollow_and_outside_the_fit(drawable):
    results, series = drawable
    ax = order_parameter(series).axes[0]
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white" and line.get_marker() == "s"]
    drawn = sum(len(line.get_xdata()) for line in hollow)
    assert drawn == np.count_nonzero(~series.trusted)
    filled = [line for line in ax.lines if line.get_marker() == "o"]
    colour = "white" if series.provisional.any() else "#0072B2"
    assert {line.get_markerfacecolor() for line in filled} == {colour}
    np.testing.assert_allclose(
        np.concatenate([line.get_ydata() for line in filled]), series.order.parameter[series.trusted]
    )


def test_error_bars_reach_from_the_point_to_the_curve(ten):
    series = analyse_series(ten)
    bars = order_parameter(series).axes[0].containers[0][2][0].get_segments()
    for (low, high), point, fit in zip(bars, series.order.parameter, series.fit.values, strict=True):
        assert sorted([point, fit]) == pytest.approx([low[1], high[1]])


def test_slices_show_the_physical_phase_in_nanometres(make_scan):
    """A ramp of +0.02 rad/nm along Q must rise along y, with the box in its true size."""
    x, y, z = np.meshgrid(*[np.arange(64) - 32] * 3, indexing="ij")
    body = (np.abs(x) <= 10) & (np.abs(y) <= 12) & (np.abs(z - 0.3 * y) <= 9)
    phi = 1.2 * np.tanh(y / 6)
    series = analyse_series([make_scan(body * np.exp(-1j * phi))])
    figure = phase_slices(series, normal="x")
    image = figure.axes[0].images[0]
    values = image.get_array()
    left, right, bottom, top = image.get_extent()
    size = values.shape[0]
    heights = bottom + (np.arange(size) + 0.5) * (top - bottom) / size
    middle = values[:, size // 2]
    known = ~np.ma.getmaskarray(middle)
    assert np.ptp(heights[known]) == pytest.approx(25 * 52, abs=52)
    slope = np.polyfit(heights[known], np.unwrap(middle[known]), 1)[0]
    assert slope > 0
    assert "y ∥ Q (nm)" in texts(figure)
    assert "x (nm)" in texts(phase_slices(series, normal="y"))


def test_scales_are_shared(ten):
    figure = phase_slices(analyse_series(ten[:3]))
    panels = [ax for ax in figure.axes if ax.images]
    assert {ax.images[0].get_clim() for ax in panels} == {(-np.pi, np.pi)}
    assert len({ax.get_xlim() for ax in panels}) == 1
    images = [ax.images[0] for ax in diffraction_comparison(ten[:3]).axes if ax.images]
    assert len(images) == 6
    assert len({image.get_clim() for image in images}) == 1


def test_calculated_counts_are_those_of_the_object(crystal, make_scan):
    result = make_scan(crystal, pixel_kernel=(0.0, 0.0, 0.0), background=0.5)
    np.testing.assert_allclose(calculated_intensity(result), result.intensity + 0.5, rtol=1e-3, atol=1e-2)
    blurred = calculated_intensity(make_scan(crystal, coherence=(0.4, 0.4, 0.4)))
    assert blurred.max() < calculated_intensity(result).max()
    flat = np.linspace(0.8, 1.2, crystal[0].size, dtype=np.float32).reshape(crystal.shape[1:])
    exposure = np.linspace(1.1, 0.9, len(crystal), dtype=np.float32)
    changes = {"pixel_kernel": (0.0, 0.0, 0.0), "background": 0.0}
    seen = calculated_intensity(make_scan(crystal, flat_field=flat, exposure=exposure, **changes))
    even = calculated_intensity(make_scan(crystal, **changes))
    np.testing.assert_allclose(seen, exposure[:, None, None] * flat * even, rtol=1e-5)


@pytest.mark.parametrize("name", DRAWN)
def test_drawing_on_given_axes_stays_on_their_figure(ten, name):
    figure = Figure(layout="constrained")
    left, _ = figure.subplots(1, 2)
    series = analyse_series(ten[:2])
    assert DRAWN[name](ten[:2], series, ax=left) is figure


def test_all_figures_land_in_the_folder_from_any_order(ten, tmp_path):
    results = [ten[1], ten[0]]
    earlier = dataclasses.replace(ten[1], attempt=0, run_uid="earlier")
    paths = save_all(tmp_path / "figures", [*results, earlier], analyse_series([*results, earlier]))
    assert sorted(path.name for path in paths) == [
        "diffraction.png",
        "loss_curves.png",
        "order_parameter.png",
        "phase_slices_x.png",
        "phase_slices_y.png",
        "phase_slices_z.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_transfer_learning_is_drawn_beside_what_the_search_reached(ten):
    results = [ten[0], dataclasses.replace(ten[2], trusted=False), ten[3]]
    figure = loss_curves(results)
    losses, overlaps = figure.axes
    curve, level, *_ = losses.lines
    np.testing.assert_array_equal(curve.get_ydata(), results[0].transfer.loss_history)
    assert set(level.get_ydata()) == {results[0].transfer.search_loss}
    assert level.get_color() == curve.get_color()
    np.testing.assert_array_equal(overlaps.lines[0].get_xdata(), [0, 5, 10, 12])
    np.testing.assert_array_equal(overlaps.lines[1].get_ydata(), results[1].transfer.overlaps)
    assert [line.get_linestyle() for line in overlaps.lines] == ["-", "--"]
    words = " ".join(texts(figure))
    assert "epoch" in words
    assert f"{ten[3].label}: none yet" in words
    # Without any the figure says so, and shows what it does.
    other = loss_curves(ten[1:2])
    assert "no transfer learning has run" in other.axes[0].get_title()
    assert other.axes[0].get_ylabel() == "$χ^2$"
    assert "transfer" not in " ".join(texts(finish_curves(ten[:2])))


def test_what_cannot_be_drawn_is_refused_in_words(ten):
    with pytest.raises(ValueError, match="normal must be one of"):
        phase_slices(analyse_series(ten[:1]), normal="q")
    with pytest.raises(ValueError, match="at least one scan result"):
        diffraction_comparison([])
    with pytest.raises(ValueError, match="no result holds a loss history: run 'vo2 transfer'"):
        loss_curves([dataclasses.replace(ten[1], loss_history=np.empty(0))])


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (3.2067312, 0.0000034, "3.206731 ± 0.000003"),
        (3.2067312, 0.012, "3.21 ± 0.01"),
        (3.2067312, 0.0, "3.20673"),
        (3.2067312, np.nan, "3.20673"),
    ],
)
def test_an_error_is_given_to_its_first_digit(value, error, words):
    assert with_error(value, error) == words
