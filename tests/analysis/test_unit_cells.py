import numpy as np
import pytest

from analysis.unit_cells import (
    M1_ATOMS,
    RUTILE_ATOMS,
    VO2_M1,
    VO2_RUTILE,
    bragg_angle,
    wavelength,
)


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


def test_atoms_stand_at_the_published_distances():
    """M1: V–V pairs of 2.62 Å and 3.16 Å apart along a, V–O from 1.76 to 2.07 Å; rutile: 2.85, 1.92 Å."""
    for cell, atoms, vanadium, oxygen in (
        (VO2_M1, M1_ATOMS, (2.62, 3.16), (1.76, 2.07)),
        (VO2_RUTILE, RUTILE_ATOMS, (2.85, 2.85), (1.92, 1.93)),
    ):
        assert len(atoms["O"]) == 2 * len(atoms["V"])
        shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)

        def nearest(element, cell=cell, atoms=atoms, shifts=shifts):
            others = (atoms[element][:, None] + shifts).reshape(-1, 3)
            return np.sort(np.linalg.norm((others - atoms["V"][0]) @ cell.direct_matrix().T, axis=1))

        np.testing.assert_allclose(nearest("V")[1:3], vanadium, atol=0.02)
        bonds = nearest("O")[:6]
        np.testing.assert_allclose([bonds[0], bonds[-1]], oxygen, atol=0.02)
