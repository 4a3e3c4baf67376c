import json

import numpy as np
import pytest
from scipy import ndimage

from analysis.structure import (
    NEUTRAL_BAND,
    Domain,
    find_domains,
    find_islands,
    isosurface,
    missing_density,
    structure_summary,
    surface_and_bulk,
)

BASIS = np.array([[29.0, 0.0, 0.0], [6.0, 51.0, 0.0], [2.0, 0.0, 51.0]])
Q = np.array([0.0, 1.9594, 0.0])
SHAPE = (40, 40, 40)


def block(*slices):
    inside = np.zeros(SHAPE, dtype=bool)
    inside[tuple(slice(*bounds) for bounds in slices)] = True
    return inside


BODY = block((8, 32), (10, 30), (10, 30))


def strained(strain, body=BODY):
    """Return a body whose strain along Q, (n0, n1, n2), is the given one: phi is its integral along rows."""
    rows = BASIS[1, 1]
    phi = np.cumsum(strain, axis=1) * 10 * np.linalg.norm(Q) * rows
    return (body * np.exp(-1j * phi)).astype(np.complex64)


def test_fractions_and_map_of_three_slabs():
    strain = np.zeros(SHAPE)
    strain[8:14] = 4e-4
    strain[14:20] = -4e-4
    found = find_domains(strained(strain), BASIS, Q, BODY)
    assert found.fractions == pytest.approx(
        {"compressive": 0.25, "neutral": 0.5, "tensile": 0.25, "missing": 0}, abs=1e-9
    )
    assert sum(found.fractions.values()) == pytest.approx(1)
    assert (found.labels[8:14][BODY[8:14]] == Domain.TENSILE).all()
    assert (found.labels[14:20][BODY[14:20]] == Domain.COMPRESSIVE).all()
    assert (found.labels[~BODY] == Domain.OUTSIDE).all()
    assert found.mean_strain == pytest.approx(0, abs=1e-9)
    assert found.volume == pytest.approx(BODY.sum() * abs(np.linalg.det(BASIS)))
    assert np.isnan(found.false_alarm_rate)


def test_a_uniform_expansion_is_no_domain_and_comes_out_as_the_mean():
    found = find_domains(strained(np.full(SHAPE, 6e-4)), BASIS, Q, BODY)
    assert found.fractions["neutral"] == 1
    assert found.mean_strain == pytest.approx(6e-4, rel=1e-4)


@pytest.mark.parametrize(("size", "kind"), [(0.9, Domain.NEUTRAL), (1.1, Domain.TENSILE)])
def test_the_neutral_band_is_where_it_is_said_to_be(size, kind):
    strain = np.zeros(SHAPE)
    strain[16:20], strain[20:24] = size * NEUTRAL_BAND, -size * NEUTRAL_BAND
    labels = find_domains(strained(strain), BASIS, Q, BODY).labels
    assert (labels[16:20][BODY[16:20]] == kind).all()


def test_islands_are_counted_and_measured():
    labels = np.where(BODY, Domain.NEUTRAL, Domain.OUTSIDE)
    first, second = block((10, 14), (12, 15), (12, 14)), block((20, 24), (20, 24), (20, 24))
    labels[first] = labels[second] = Domain.MISSING
    labels[block((28, 29), (12, 13), (12, 14))] = Domain.TENSILE
    islands, specks = find_islands(labels, BASIS)
    assert [(island.kind, island.voxels) for island in islands] == [
        (Domain.MISSING, 64),
        (Domain.MISSING, 24),
    ]
    assert specks == {"compressive": 0, "tensile": 1, "missing": 0}
    volume = 24 * abs(np.linalg.det(BASIS))
    assert islands[1].volume == pytest.approx(volume)
    assert islands[1].diameter == pytest.approx((6 * volume / np.pi) ** (1 / 3))
    middle = np.array([11.5, 13, 12.5]) - 20
    np.testing.assert_allclose(islands[1].centroid, BASIS @ middle, atol=1e-9)


def noisy(array, seed, sigma=0.06):
    """Return a reconstruction as another start would leave it: band-limited errors in amplitude and phase."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)
    noise = np.stack([ndimage.gaussian_filter(part, 0.7) for part in (noise.real, noise.imag)])
    return array + (noise[0] + 1j * noise[1]) * sigma / noise.std()


def test_missing_density_is_found_where_it_left_and_nowhere_else():
    whole = ndimage.gaussian_filter(BODY.astype(float), 0.7) + 0j
    support = isosurface(whole, 95)
    gone = support & block((8, 20), (10, 22), (10, 30))
    holed = whole * ndimage.gaussian_filter(np.where(gone, 0.13, 1.0), 0.5)
    found = missing_density(noisy(holed, 1), noisy(whole, 2), support)
    assert found.fraction == pytest.approx(gone.sum() / support.sum(), abs=0.02)
    assert np.count_nonzero(found.mask & gone) > 0.93 * gone.sum()
    away = support & ~ndimage.binary_dilation(gone)
    assert np.count_nonzero(found.mask & away) < 1e-3 * away.sum()
    assert found.threshold == 0.5
    assert found.false_alarm_rate < 2e-3


def test_the_false_alarm_rate_says_what_a_whole_crystal_loses():
    """Much noisier objects: the rate that the exchanged test tells is the one that really occurs."""
    whole = ndimage.gaussian_filter(BODY.astype(float), 0.7) + 0j
    first, second = noisy(whole, 1, 0.2), noisy(whole, 2, 0.2)
    support = isosurface(second, 90)
    found = missing_density(first, second, support, false_alarms=0.2)
    assert found.fraction > 0.003
    assert found.fraction == pytest.approx(found.false_alarm_rate, rel=0.35)
    strict = missing_density(first, second, support, false_alarms=1e-3)
    assert strict.threshold < found.threshold
    assert strict.fraction < 3e-3
    assert strict.false_alarm_rate <= 1e-3


def test_scale_of_the_counts_is_no_missing_density():
    whole = ndimage.gaussian_filter(BODY.astype(float), 0.7) + 0j
    assert missing_density(7 * whole, whole, isosurface(whole, 95)).fraction == 0


def test_missing_volume_has_no_strain_and_the_rest_sums_up():
    gone = block((8, 20), (10, 20), (10, 30))
    array = strained(np.zeros(SHAPE)) * np.where(gone, 0.1 * np.exp(0.9j * np.arange(40)), 1)
    found = find_domains(array, BASIS, Q, BODY, reference=BODY + 0j)
    assert found.fractions["missing"] == pytest.approx(gone.sum() / BODY.sum(), abs=1e-9)
    assert found.fractions["neutral"] == pytest.approx(1 - gone.sum() / BODY.sum(), abs=1e-9)
    assert found.count(Domain.MISSING) == 1


def test_the_record_is_json_and_the_summary_of_a_scan_holds_it():
    strain = np.zeros(SHAPE)
    strain[8:14], strain[14:20] = 4e-4, -4e-4
    summary = json.loads(json.dumps(structure_summary(strained(strain), BASIS, Q), allow_nan=False))
    assert summary["domains"]["false_alarm_rate"] is None
    assert summary["domains"]["islands"]["tensile"]["count"] == 1
    assert summary["domains"]["fractions"]["tensile"] == pytest.approx(0.25, abs=0.02)
    assert summary["displacement"]["regions"] == 1
    # Slabs of opposite strain slip past each other by more than a plane.
    assert summary["displacement"]["torn_voxels"] > 0
    assert summary["surface_bulk"] == surface_and_bulk(strained(strain), BASIS, Q).record()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neutral_band": -1e-4}, "neutral_band must be"),
        ({"support": np.zeros(SHAPE, bool)}, "support is empty"),
        ({"reference": np.ones((2, 2, 2), complex)}, "one shape"),
        ({"reference": BODY + 0j, "threshold": 1.5}, r"threshold must lie in \(0, 1\]"),
        ({"reference": BODY + 0j, "false_alarms": 0}, "false_alarms must lie in"),
        ({"reference": np.full(SHAPE, np.nan + 0j)}, "finite objects are required"),
    ],
)
def test_impossible_domains_are_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_domains(strained(np.zeros(SHAPE)), BASIS, Q, **({"support": BODY} | arguments))


def test_islands_are_what_scipy_counts_one_by_one():
    rng = np.random.default_rng(2)
    labels = rng.choice(
        [Domain.NEUTRAL, Domain.TENSILE, Domain.MISSING], size=(20, 21, 22), p=[0.6, 0.2, 0.2]
    )
    basis = rng.normal(size=(3, 3)) * 10
    islands, specks = find_islands(labels, basis, smallest=5)
    regions, count = ndimage.label(labels == Domain.MISSING)
    sizes = ndimage.sum_labels(labels == Domain.MISSING, regions, range(1, count + 1))
    missing = [island for island in islands if island.kind == Domain.MISSING]
    assert [island.voxels for island in missing] == sorted(sizes[sizes >= 5], reverse=True)
    assert specks["missing"] == np.count_nonzero(sizes < 5)
    middle = ndimage.center_of_mass(regions == 1 + np.argmax(sizes))
    np.testing.assert_allclose(missing[0].centroid, basis @ (np.array(middle) - [10, 10, 11]))
