import numpy as np
import pytest

from analysis.unit_cells import VO2_M1, VO2_RUTILE, bragg_angle, wavelength


def test_published_spacings_and_bragg_angles():
    assert wavelength(9.0) == pytest.approx(1.3776, abs=5e-5)
    assert VO2_M1.d_spacing((0, 1, 1)) == pytest.approx(3.2067, abs=5e-5)
    assert VO2_RUTILE.d_spacing((1, 1, 0)) == pytest.approx(3.2206, abs=5e-5)
    assert bragg_angle(VO2_M1.d_spacing((0, 1, 1)), 9.0) == pytest.approx(12.404, abs=1e-3)
    assert bragg_angle(VO2_RUTILE.d_spacing((1, 1, 0)), 9.0) == pytest.approx(12.349, abs=1e-3)


def test_b_matrix_is_the_reciprocal_of_the_metric_tensor():
    m1 = VO2_M1
    a, b, c = m1.a, m1.b, m1.c
    cb = np.cos(np.radians(m1.beta))
    metric = np.array([[a * a, 0, a * c * cb], [0, b * b, 0], [a * c * cb, 0, c * c]])
    reciprocal = m1.b_matrix().T @ m1.b_matrix() / (2 * np.pi) ** 2
    np.testing.assert_allclose(reciprocal @ metric, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("energy", [0.0, -1.0, float("nan")])
def test_bad_energy_is_refused_in_words(energy):
    with pytest.raises(ValueError, match="positive number of keV"):
        wavelength(energy)
