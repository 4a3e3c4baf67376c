"""Domains and missing density, as the analysis tells them, against what the simulated crystal consists of."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.structure import Domain, find_domains, isosurface
from profile_collection.twin import (
    Clock,
    CrystalConfig,
    DetectorConfig,
    ThermalConfig,
    Twin,
    TwinConfig,
    truth_objects,
)

ETAS = np.round(17.8 + 0.01 * np.arange(-40, 41), 5)
CONFIG = TwinConfig(
    crystal=CrystalConfig(seed=21, size=(700.0, 900.0, 1000.0)),
    detector=DetectorConfig(roi=(150, 350, 200, 310), quadrature=1, blur=0),
    threads=1,
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Return what a perfect reconstruction of the M1 band would hold, at 320, 325 and 355 K."""
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    found = {}
    for kelvin in (320.0, 325.0, 355.0):
        config = replace(CONFIG, thermal=ThermalConfig(start=kelvin, fluctuation=0.0))
        Twin(config, Clock()).write_truth(path, "uid", ETAS)
        found[kelvin] = truth_objects(path, slice(8, 72), slice(75, 139), slice(25, 89))
    return found


def domains_at(truth, kelvin):
    reference, now = truth[320.0], truth[kelvin]
    support = isosurface(reference["monoclinic"], 95)
    found = find_domains(
        now["monoclinic"],
        now["voxel_basis"],
        now["q_vector"],
        support,
        reference=reference["monoclinic"],
    )
    return found, now, support


def test_missing_density_is_the_rutile(truth):
    found, now, support = domains_at(truth, 355.0)
    share = now["support"]
    rutile = float((now["rutile"] * share).sum() / share.sum())
    assert rutile > 0.4
    assert found.fractions["missing"] == pytest.approx(rutile, abs=0.05)
    assert found.false_alarm_rate <= 0.01
    missing = found.labels == Domain.MISSING
    assert np.mean(missing[support] == (now["rutile"][support] > 0.5)) > 0.93
    assert found.count(Domain.MISSING) >= 1


def test_without_rutile_nothing_is_missing_though_m2_has_spread(truth):
    found, now, _ = domains_at(truth, 325.0)
    assert now["m2"][now["support"] > 0.5].mean() > 0.3
    assert found.fractions["missing"] < 2e-3


def test_compressive_and_tensile_volume_are_those_of_the_true_strain(truth):
    """The true strain of the fine crystal; the band limit smooths it, so that near zero some change side."""
    found, now, support = domains_at(truth, 325.0)
    true = now["strain"] - np.average(now["strain"][support], weights=now["support"][support])
    for kind, sign in ((Domain.TENSILE, 1), (Domain.COMPRESSIVE, -1)):
        said = support & (found.labels == kind)
        assert found.fractions[kind.name.lower()] == pytest.approx(
            np.mean(sign * true[support] > found.neutral_band), abs=0.06
        )
        assert np.mean(sign * true[said] > 0) > 0.95
