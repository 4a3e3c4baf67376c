"""The verdict, reason by reason."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.phasing.trust import (
    Evidence,
    StartEvidence,
    compactness,
    effective_voxels,
    oversampling,
    verdict,
)

GOOD = Evidence(StartEvidence(0.99, 1, 1.0, True, False), 1.0, (1.8, 1.7, 2.0), False, 5000.0, 0.05, ())


def test_ringing_through_the_whole_box_is_no_part_of_the_extent():
    body = np.zeros((32, 32, 32), complex)
    body[4:20, 8:24, 30:] = body[4:20, 8:24, :6] = 1j  # across an edge of the box, which is periodic
    assert oversampling(body) == (2, 2, 4)
    assert oversampling(body + 0.09) == (2, 2, 4)
    assert oversampling(np.zeros((4, 4, 4))) == (np.inf, np.inf, np.inf)


def changed(**values):
    """Return good evidence with other values."""
    inside = {name: value for name, value in values.items() if name in StartEvidence.__dataclass_fields__}
    outside = {name: value for name, value in values.items() if name not in inside}
    return replace(GOOD, starts=replace(GOOD.starts, **inside), **outside)


def test_good_evidence_is_trusted():
    assert verdict(GOOD) == (True, ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agreement": 0.6}, "do not agree"),
        ({"noise_ratio": 40.0}, "Poisson noise"),
        ({"noise_ratio": 4.7, "pixel_kernel": False, "agreement": 0.993}, "at most 1.85 is accepted"),
        ({"noise_ratio": float("nan")}, "Poisson noise"),
        ({"compactness": 0.5}, "in pieces"),
        ({"oversampling": (1.8, 1.05, 2.0)}, "larger than the box along axis 1"),
        ({"saturated": True}, "saturated"),
        ({"effective_voxels": 214.0}, "no crystal to be seen"),
        ({"noise_ratio": 0.54}, "not Poisson: give raw counts and the monitor"),
        ({"not_counts": ("all counts are multiples of 3",)}, "all counts are multiples of 3"),
    ],
)
def test_each_doubt_has_its_reason(change, words):
    trusted, reasons = verdict(changed(**change))
    assert not trusted
    assert len(reasons) == 1
    assert words in reasons[0]


@pytest.mark.parametrize(
    ("agreement", "confirmations", "noise_ratio", "expected"),
    [
        (0.975, 1, 1.2, True),
        (0.96, 4, 1.2, False),
        (0.975, 1, 1.7, False),
        (0.96, 3, 1.7, False),
        (0.96, 8, 1.7, True),
        (0.985, 1, 1.4, False),
        (0.99, 1, 1.7, True),
    ],
)
def test_point_samples_that_noise_does_not_explain_need_more(agreement, confirmations, noise_ratio, expected):
    evidence = changed(
        agreement=agreement, confirmations=confirmations, noise_ratio=noise_ratio, pixel_kernel=False
    )
    assert verdict(evidence)[0] is expected


def test_an_object_that_brought_a_response_needs_more_though_nothing_is_left():
    assert not verdict(changed(calibrated=True, agreement=0.985))[0]
    assert verdict(changed(calibrated=True, agreement=0.99))[0]
    assert verdict(changed(calibrated=True, agreement=0.985, confirmations=8))[0]
    assert not verdict(changed(calibrated=True, agreement=0.97, confirmations=8))[0]


@pytest.mark.parametrize(
    ("kernel", "ratio", "expected"),
    [(True, 2.0, True), (True, 2.2, False), (False, 1.8, True), (False, 1.9, False)],
)
def test_how_much_may_be_left_depends_on_what_the_model_knows(kernel, ratio, expected):
    assert verdict(changed(pixel_kernel=kernel, noise_ratio=ratio))[0] is expected


def test_compactness_is_the_share_of_the_largest_part():
    support = np.zeros((20, 20, 20), bool)
    support[2:8, 2:8, 2:8] = support[12:15, 12:15, 12:15] = True
    assert compactness(np.ones(support.shape), support) == pytest.approx(216 / 243)
    assert compactness(np.ones(support.shape), np.zeros_like(support)) == 0


def test_an_object_that_fills_its_box_may_leave_less_noise():
    assert not verdict(changed(noise_ratio=0.6))[0]
    assert verdict(changed(noise_ratio=0.6, filled=0.15))[0]


def test_effective_voxels_are_those_of_equal_density():
    density = np.zeros((16, 16, 16))
    density[4:9, 4:9, 4:9] = 7.0
    assert effective_voxels(density) == pytest.approx(125)
    assert effective_voxels(np.zeros((4, 4, 4))) == 0
