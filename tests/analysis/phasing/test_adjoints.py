"""Every linear operator against its adjoint, <F m, d> = <m, F* d>, and against linearity.

A new operator is a subclass of `LinearOperator` here: model and data shape, `forward` and `adjoint`. A
gradient is right only where the adjoint that it applies is that of the forward model.
"""

from __future__ import annotations

import finufft
import numpy as np
import pytest
import torch

from analysis.geometry.voxels import _held
from analysis.geometry.voxels import resample as on_other_voxels
from analysis.phasing.calibration import Response
from analysis.phasing.forward import PixelKernel
from analysis.phasing.projections import SPACE, Smoother, to_centre, to_corner
from analysis.phasing.registration import shift
from analysis.phasing.schedules import crop, pad, resample
from analysis.preprocessing.binning import binned


class LinearOperator:
    """An operator F from models to data; a subclass inherits the tests."""

    model: tuple[int, ...] = (6, 7, 8)
    data: tuple[int, ...] = (6, 7, 8)
    real = False

    def forward(self, m: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def adjoint(self, d: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def drawn(self, shape, seed):
        generator = torch.Generator().manual_seed(seed)
        kind = torch.float32 if self.real else torch.complex64
        return torch.randn(shape, generator=generator, dtype=kind)

    def test_the_adjoint_is_that_of_the_forward_model(self):
        m, d = self.drawn(self.model, 1), self.drawn(self.data, 2)
        image, back = self.forward(m.clone()), self.adjoint(d.clone())
        assert (image.shape, back.shape) == (d.shape, m.shape)
        left = complex(torch.vdot(image.flatten(), d.flatten()))
        right = complex(torch.vdot(m.flatten(), back.flatten()))
        size = float(image.norm() * d.norm())
        assert abs(left - right) < 1e-5 * size

    def test_it_is_linear(self):
        m, other = self.drawn(self.model, 3), self.drawn(self.model, 4)
        together = self.forward(2.5 * m - other)
        apart = 2.5 * self.forward(m.clone()).clone() - self.forward(other.clone())
        torch.testing.assert_close(together, apart, atol=1e-4 * float(apart.abs().max()), rtol=1e-4)


class TestFourierPair(LinearOperator):
    """Object to wave and back, both with their origin in the middle (docs/science.md section 3)."""

    def forward(self, m):
        return to_centre(torch.fft.fftn(to_corner(m), dim=SPACE))

    def adjoint(self, d):
        return to_centre(torch.fft.ifftn(to_corner(d), dim=SPACE)) * d.numel()


class TestOriginInTheCorner(LinearOperator):
    def forward(self, m):
        return to_corner(m)

    def adjoint(self, d):
        return to_centre(d)


class TestCropAndPad(LinearOperator):
    data = (4, 5, 6)

    def forward(self, m):
        return crop(m, self.data)

    def adjoint(self, d):
        return pad(d, self.model)


class TestResampleFiner(LinearOperator):
    data = (8, 12, 11)

    def forward(self, m):
        return resample(m, self.data)

    def adjoint(self, d):
        return resample(d, self.model) * (np.prod(self.model) / np.prod(self.data))


class TestResampleCoarser(TestResampleFiner):
    data = (4, 5, 6)


class TestBlur(LinearOperator):
    """Gaussian smoothing is its own adjoint."""

    real = True

    def forward(self, m):
        return Smoother(self.model)(m, 1.3)

    adjoint = forward


class TestFineField(LinearOperator):
    """Object to wave on the q grid that the blurred axes need twice as fine."""

    data = (6, 14, 16)
    kernel = PixelKernel((6, 7, 8), (0, 1, 1))

    def forward(self, m):
        return self.kernel._fine_field(m).clone()

    def adjoint(self, d):
        wide, m = torch.fft.ifftn(d, dim=SPACE) * d.numel(), torch.empty(self.model, dtype=d.dtype)
        for here, there in self.kernel._corners():
            m[here] = wide[there]
        return m


class PixelSums(LinearOperator):
    """Intensity on the finer grid to what the pixels measure of it."""

    real = True
    kernel: PixelKernel

    def forward(self, m):
        return self.kernel.measured(self.kernel._blur(m)).clone()

    def adjoint(self, d):
        comb = torch.zeros(self.kernel.grown)
        comb[self.kernel._every] = d
        return self.kernel._blur(comb)


class TestPixelKernel(PixelSums):
    model, kernel = (6, 14, 16), PixelKernel((6, 7, 8), (0, 1, 1))


class TestPixelKernelWithPartialCoherence(PixelSums):
    model, kernel = (12, 14, 16), PixelKernel((6, 7, 8), (0, 1, 1), (0.3, 0.2, 0.4))


class TestPixelKernelOfASmallObject(PixelSums):
    kernel = PixelKernel((6, 7, 8), (0, 1, 1), (0, 0.2, 0.4), extent=(0.4, 0.4, 0.4))


class TestFlatFieldAndExposure(LinearOperator):
    real = True

    def response(self):
        generator = torch.Generator().manual_seed(5)
        return Response(1 + 0.1 * torch.rand(7, 8, generator=generator), torch.rand(6, generator=generator))

    def forward(self, m):
        return m * self.response().factor

    adjoint = forward


class TestBinning(LinearOperator):
    real = True
    model, data = (6, 9, 8), (6, 3, 4)

    def forward(self, m):
        return torch.from_numpy(binned(m.numpy(), (1, 3, 2)))

    def adjoint(self, d):
        return d.repeat_interleave(3, dim=1).repeat_interleave(2, dim=2)


class TestShiftByAPartOfAVoxel(LinearOperator):
    by = np.array([0.4, -1.7, 2.25])

    def forward(self, m):
        return torch.from_numpy(shift(m.numpy(), self.by))

    def adjoint(self, d):
        return torch.from_numpy(shift(d.numpy(), -self.by))


class TestOtherVoxels(LinearOperator):
    """The trigonometric interpolation on another voxel basis, a non-uniform transform."""

    model, data = (8, 9, 10), (7, 8, 9)
    basis = np.array([[10.0, 1.0, 0.0], [0.0, 12.0, 2.0], [0.5, 0.0, 11.0]])
    target = np.diag([9.0, 11.0, 10.0])

    def forward(self, m):
        return torch.from_numpy(on_other_voxels(m.numpy(), self.basis, self.target, self.data))

    def adjoint(self, d):
        step = np.linalg.inv(self.basis) @ self.target
        points = step @ (np.indices(self.data).reshape(3, -1) - np.array(self.data)[:, None] // 2)
        size = np.array(self.model)[:, None]
        inside = (np.abs(points) <= size / 2).all(axis=0)
        angles = np.ascontiguousarray(2 * np.pi * points[:, inside] / size, dtype=np.float32)
        field = finufft.nufft3d1(*angles, d.numpy().ravel()[inside], self.model, isign=-1, eps=1e-6)
        field = np.where(_held(self.model, step), field, 0)
        # The adjoint of fftn/N is the inverse transform.
        return torch.from_numpy(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(field))).astype(np.complex64))


@pytest.mark.parametrize("kind", [TestPixelKernel, TestPixelKernelWithPartialCoherence])
def test_a_wrong_adjoint_is_found(kind):
    class Wrong(kind):
        def adjoint(self, d):
            return super().adjoint(d).roll(1, 1)

    with pytest.raises(AssertionError):
        Wrong().test_the_adjoint_is_that_of_the_forward_model()
