"""Any flat detector on any circles, against xrayutilities, which shares no code with it."""

import numpy as np
import pytest
import xrayutilities as xu

from analysis.geometry import (
    ScanGeometry,
    check_units,
    circle_arm,
    circle_axis,
    geometry_document,
    geometry_of_document,
    pixel_geometry,
    two_theta,
)

SHAPE, CENTRE = (60, 80), (21.5, 33.0)


def id01(nu, delta, eta, phi, axis="eta"):
    return ScanGeometry(
        energy=9.0,
        distance=800.0,
        pixel_size=0.055,
        arm=circle_arm([("y-", nu), ("x-", delta)], "y-", "x+", "cxi"),
        axis=circle_axis([], "x-", "cxi") if axis == "eta" else circle_axis([("x-", eta)], "y-", "cxi"),
        centre=CENTRE,
        shape=SHAPE,
        roi=(0, SHAPE[0], 0, SHAPE[1]),
    )


@pytest.mark.parametrize("axis", ["eta", "phi"])
def test_id01_agrees_with_xrayutilities_in_every_pixel_and_along_the_scan(axis):
    """Circles of ID01 as cdiutils has them: eta x−, phi y−; nu y−, delta x−; rows y−, columns x+."""
    conversion = xu.experiment.QConversion(["x-", "y-"], ["y-", "x-"], [0, 0, 1], en=9000.0)
    conversion.init_area(
        "y-",
        "x+",
        cch1=CENTRE[0],
        cch2=CENTRE[1],
        Nch1=60,
        Nch2=80,
        distance=0.8,
        pwidth1=55e-6,
        pwidth2=55e-6,
    )
    eta, phi, nu, delta = 17.0, 31.0, 12.0, 33.0
    geometry = id01(nu, delta, eta, phi, axis)
    rows, cols = np.indices(SHAPE)
    at_zero = np.stack(conversion.area(0.0, 0.0, nu, delta, deg=True), axis=-1)
    np.testing.assert_allclose(geometry.lab_q(rows, cols), at_zero[..., [1, 2, 0]], atol=1e-12)

    moved = {"eta": (eta + 0.4, phi), "phi": (eta, phi + 0.4)}[axis]
    here = np.stack(conversion.area(*moved, nu, delta, deg=True), axis=-1)  # in the crystal's own frame
    there = geometry.q(0.4, rows, cols, reference=0.0)  # in the laboratory, as the crystal stands at 0
    first = np.stack(conversion.area(eta, phi, nu, delta, deg=True), axis=-1)[30, 40]
    np.testing.assert_allclose(
        np.linalg.norm(here - first, axis=-1),
        np.linalg.norm(there - geometry.lab_q(30, 40), axis=-1),
        atol=1e-12,
    )
    turn = np.linalg.norm(here @ first - there @ geometry.lab_q(30, 40))
    assert turn < 1e-10


def test_a_detector_given_by_its_pixels_is_the_one_given_by_its_arm():
    geometry = id01(12.0, 33.0, 17.0, 0.0)
    row, column = 0.055 * geometry.arm[:, 0], 0.055 * geometry.arm[:, 2]
    origin = 800 * geometry.arm[:, 1] - CENTRE[0] * row - CENTRE[1] * column
    again = pixel_geometry(
        origin=origin,
        row=row,
        column=column,
        centre=CENTRE,
        axis=geometry.axis,
        energy=9.0,
        shape=SHAPE,
    )
    rows, cols = np.indices(SHAPE)
    np.testing.assert_allclose(again.lab_q(rows, cols), geometry.lab_q(rows, cols), atol=1e-12)
    assert again.distance == pytest.approx(800.0)
    nu, delta = np.radians([12.0, 33.0])
    assert two_theta(again, *CENTRE) == pytest.approx(np.degrees(np.arccos(np.cos(nu) * np.cos(delta))))


def test_a_geometry_becomes_plain_numbers_and_back():
    import json

    geometry = id01(12.0, 33.0, 17.0, 0.0)
    again = geometry_of_document(json.loads(json.dumps(geometry_document(geometry))))
    np.testing.assert_array_equal(again.arm, geometry.arm)
    assert (again.centre, again.roi, again.saturation) == (CENTRE, (0, 60, 0, 80), np.inf)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"energy": 9000}, "seems to be in eV, a factor of 1000 off: give 9"),
        ({"distance": 0.5}, "seems to be in m, a factor of 1000 off: give 500"),
        ({"pixel_size": 55}, "seems to be in µm, a factor of 1000 off: give 0.055"),
        ({"energy": -9}, "positive number of keV"),
        ({"distance": float("nan")}, "positive number of mm"),
        ({"energy": 1e9}, "must lie in 1 … 200 keV"),
    ],
)
def test_numbers_in_another_unit_are_named_and_refused(given, words):
    with pytest.raises(ValueError, match=words):
        check_units(**given)
