"""Everything of a reconstruction computes where its pattern lies, to the same result."""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from analysis import reconstruct
from analysis.phasing import from_truth, pattern, projections
from analysis.phasing.calibration import shared
from analysis.phasing.config import DEFAULT
from analysis.phasing.pattern import COHERENT
from analysis.phasing.projections import fixed_threads, to_corner
from analysis.phasing.reconstruction import checked_pattern
from analysis.phasing.registration import Candidate

SHAPE = (32, 32, 32)
ACCELERATOR = torch.device("cuda", 0)


class Elsewhere(torch.Tensor):
    """A tensor that lies on the accelerator."""


class SecondDevice(TorchFunctionMode):
    """Inside a with block tensors on `ACCELERATOR` are marked, and meet others only as theirs would.

    A tensor of the CPU with one of the accelerator is an error (numbers, and what indexes, apart), and so is
    a numpy array made of one.
    """

    def __init__(self):
        super().__init__()
        self.computed = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
        there = any(isinstance(t, Elsewhere) for t in tensors)
        if getattr(function, "__self__", None) is torch.Tensor.device:
            return ACCELERATOR if there else torch.device("cpu")
        name = getattr(function, "__name__", "")
        if there and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if there and name not in ("__getitem__", "__setitem__"):
            mixed = [t for t in tensors if t.ndim and not isinstance(t, Elsewhere)]
            if mixed:
                raise RuntimeError(f"{name}: expected all tensors on one device, {mixed[0].shape} is not")
        devices = [a for a in (*args, kwargs.get("device")) if isinstance(a, torch.device)]
        if devices:
            there = devices[-1].type == "cuda"
        elif name == "cpu":
            there = False
        args, kwargs = tree_map(_on_the_cpu, (args, kwargs))
        self.computed += there
        result = function(*args, **kwargs)
        return tree_map(_marked, result) if there else result


def _on_the_cpu(value):
    if isinstance(value, Elsewhere):
        return value.as_subclass(torch.Tensor)
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _marked(value):
    return value.as_subclass(Elsewhere) if isinstance(value, torch.Tensor) else value


@pytest.fixture(scope="module")
def counts(make_crystal):
    crystal = make_crystal(SHAPE, seed=4, peak_to_peak=np.pi)
    intensity = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(crystal)))) ** 2
    return np.random.default_rng(0).poisson(intensity * 1e5 / intensity.max()).astype(np.float32)


@pytest.fixture
def accelerated(monkeypatch):
    """Return a function that calls another with patterns on the second device."""

    def call(function, *args, **options):
        with monkeypatch.context() as patch, SecondDevice() as mode:
            patch.setattr(pattern, "DEVICE", ACCELERATOR)
            result = function(*args, **options)
        assert mode.computed > 1000
        return result

    return call


def test_the_second_device_refuses_what_an_accelerator_refuses():
    with SecondDevice():
        there, here = torch.ones(3, device=ACCELERATOR), torch.ones(3)
        assert there.device == (there * 2).device == ACCELERATOR
        assert here.device == there.cpu().device == torch.device("cpu")
        with pytest.raises(RuntimeError, match="one device"):
            there + here
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()


@pytest.mark.parametrize("kernel", [None, (0.0, 0.3, 0.3)])
def test_a_reconstruction_stays_on_its_device(counts, accelerated, kernel):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, 5:7] = True
    options = {"seed": 2, "pixel_kernel": kernel, "background": 0.01}
    found = accelerated(reconstruct, counts, mask, **options)
    expected = reconstruct(counts, mask, **options)
    assert type(found.object) is np.ndarray
    np.testing.assert_array_equal(found.object, expected.object)
    np.testing.assert_array_equal(found.flat_field, expected.flat_field)
    assert found.chi_squared == expected.chi_squared


def test_a_start_from_the_truth_stays_on_its_device(counts, accelerated, make_crystal):
    truth = make_crystal(SHAPE, seed=4, peak_to_peak=np.pi)
    found = accelerated(from_truth, counts, truth)
    np.testing.assert_array_equal(found.object, from_truth(counts, truth).object)


def test_what_many_starts_share_stays_on_its_device(counts, accelerated, make_crystal):
    truth = to_corner(torch.from_numpy(make_crystal(SHAPE, seed=4, peak_to_peak=np.pi)))[None]

    def averaged():
        pattern = checked_pattern(counts, None, None, None)
        rng = np.random.default_rng(1)
        members = []
        for number in range(DEFAULT.calibration.least):
            noise = torch.from_numpy(rng.normal(size=(1, *SHAPE)).astype(np.float32))
            x = (truth * (1 + 0.1 * noise)).to(pattern.counts.device)
            members.append(Candidate(x, x.abs() > 0.2, 1.0, COHERENT, f"random {number}"))
        with fixed_threads(1):
            return shared(pattern, members)

    found, expected = accelerated(averaged), averaged()
    assert found.agreement == expected.agreement
    assert torch.equal(found.best.candidate.x.as_subclass(torch.Tensor), expected.best.candidate.x)


def test_the_device_is_chosen_once_and_can_be_named(monkeypatch):
    assert pattern.DEVICE is projections.DEVICE
    assert projections.choose_device(1) in (torch.device("cpu"), torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert projections.choose_device(1) == torch.device("cuda", 1)
