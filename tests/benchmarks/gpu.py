"""What an accelerator gains: phasing and training steps on it and on the CPU, and whether results are equal.

Needs torch, numpy and this repository, nothing installed beside; made to finish within 8 minutes. Prints;
fails only where a result on the accelerator differs from the CPU's by more than the tolerance beside it.
Without an accelerator it says so and ends. ``make benchmark-gpu`` runs it; alone:
``python tests/benchmarks/gpu.py``; ``--device cpu --small`` goes the same way on the CPU, with small arrays.
"""

import argparse
import contextlib
import importlib
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
SIZES, SMALL = (64, 128, 256), (16, 32)
STEPS, BATCH = 20, 16
ITERATIONS = 20
"""Of error reduction and of HIO, whose results are compared."""

OBJECT_TOLERANCE, LOSS_TOLERANCE = 1e-3, 1e-2
"""Relative difference, in the L2 norm of objects and in the loss after some steps, that rounding may make."""

LAST_START = 330.0
"""Seconds after which no further measurement begins."""


def solver():
    """Return the solver's projections, the network and its losses, without what the packages need beside.

    The packages' ``__init__`` would import the whole analysis; of two libraries only names are wanted here.
    """
    sys.path.insert(0, str(ROOT))
    for name in ("analysis.phasing", "analysis.phasing.network"):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT.joinpath(*name.split(".")))]
        sys.modules[name] = package
    stand_in("threadpoolctl", threadpool_limits=lambda *_, **__: contextlib.nullcontext())
    stand_in("scipy.special", gammaln=None)
    names = ("projections", "network.model", "network.losses")
    return [importlib.import_module(f"analysis.phasing.{name}") for name in names]


def stand_in(name, **contents):
    """Where a library is missing, let its name be imported."""
    try:
        importlib.import_module(name)
    except ImportError:
        package = name.split(".")[0]
        for part in dict.fromkeys((package, name)):
            sys.modules[part] = types.ModuleType(part)
        vars(sys.modules[name]).update(contents)


def wait(device):
    """Wait until ``device`` has done what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def fastest(work, device, turns=3):
    """Return the least wall seconds of several calls."""
    least = float("inf")
    for _ in range(turns + 1):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        least = min(least, time.perf_counter() - began)
    return least


def crystal(projections, size):
    """Return amplitude (n, n, n) float32, a start and its support (1, n, n, n), corner order, on the CPU."""
    made = torch.Generator().manual_seed(1)
    support = projections.box((size,) * 3, (0.4,) * 3)[None]
    phase = projections.Smoother((size,) * 3)(torch.rand(1, *(size,) * 3, generator=made), size / 10)
    crystal_ = torch.polar(support.float(), 40 * (phase - phase.mean()))
    amplitude = torch.fft.fftn(crystal_[0]).abs()
    start = torch.view_as_complex(torch.rand(1, *(size,) * 3, 2, generator=made)) * support
    return amplitude, start, support


def phase_on(projections, device, parts):
    """Return what ER and HIO make of a start on ``device``, and seconds of an iteration and of two FFTs."""
    amplitude, start, support = (part.to(device) for part in parts)
    engine = projections.Engine(amplitude)
    found = engine.hio(engine.er(start, support, ITERATIONS), support, ITERATIONS)
    if found.device.type != device.type:
        raise SystemExit(f"phasing was asked to stay on {device} and returned its object on {found.device}")
    each = fastest(lambda: engine.raar(start, support, 3), device) / 3
    field, image = torch.empty_like(start), torch.empty_like(start)

    def transforms():
        torch.fft.fftn(start, dim=projections.SPACE, out=field)
        torch.fft.ifftn(field, dim=projections.SPACE, out=image)

    return found.cpu(), each, fastest(transforms, device)


def train_on(model, losses, device, steps, small):
    """Return the losses of some steps on ``device``, and steps a second."""
    torch.manual_seed(1)
    config = model.NetworkConfig(width=8, refiner_width=8) if small else model.NetworkConfig()
    network = model.build_network(config).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    rng = np.random.default_rng(1)
    side, batch = 32, 2 if small else BATCH
    x = np.abs(np.arange(side) - side // 2)
    inside = np.maximum.reduce(np.meshgrid(x, x, x)) < 7
    truth = inside * np.exp(1j * rng.uniform(-1, 1, (batch, side, side, side)))
    shifted = np.fft.ifftshift(truth, axes=(1, 2, 3))
    modulus = np.abs(np.fft.fftshift(np.fft.fftn(shifted, axes=(1, 2, 3)), axes=(1, 2, 3)))
    counts = torch.from_numpy((modulus**2).astype(np.float32)).to(device)
    mask = torch.zeros(counts.shape, dtype=torch.bool, device=device)
    wanted = torch.from_numpy(truth.astype(np.complex64)).to(device)
    amplitude = torch.from_numpy(modulus.astype(np.float32)).to(device)
    values = []

    def step():
        guess = network(counts, mask)[-1]
        loss = losses.overlap_loss(guess, wanted, amplitude, 0.3).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))

    step()
    wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return values, steps / (time.perf_counter() - began)


def main():
    """Print the tables; exit 1 where results differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="as torch names it; the first accelerator otherwise")
    parser.add_argument("--small", action="store_true", help="small arrays and a small network")
    given = parser.parse_args()
    if given.device is None and not torch.cuda.is_available():
        print("no accelerator: torch finds no CUDA device here, so there is nothing to compare with the CPU")
        return 0
    device, cpu = torch.device(given.device or "cuda"), torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    print(f"{device} is {name}; CPU with {torch.get_num_threads()} threads; torch {torch.__version__}")
    projections, model, losses = solver()
    began, equal = time.perf_counter(), True
    print("size  ms an iteration: device  CPU  ratio | two FFTs: device  CPU | iteration/FFTs | difference")
    for size in SMALL if given.small else SIZES:
        if time.perf_counter() - began > LAST_START:
            print(f"{size}³ left out: {LAST_START:.0f} s are over")
            continue
        parts = crystal(projections, size)
        here, each, transforms = phase_on(projections, device, parts)
        there, each_cpu, transforms_cpu = phase_on(projections, cpu, parts)
        difference = float((here - there).norm() / there.norm())
        equal &= difference <= OBJECT_TOLERANCE
        print(
            f"{size}³  {1e3 * each:.3f}  {1e3 * each_cpu:.2f}  {each_cpu / each:.1f} | "
            f"{1e3 * transforms:.3f}  {1e3 * transforms_cpu:.2f} | {each / transforms:.2f} | "
            f"{difference:.1e} (at most {OBJECT_TOLERANCE:g})",
            flush=True,
        )
    steps, few = (2, 2) if given.small else (STEPS, 4)
    here, speed = train_on(model, losses, device, steps, given.small)
    there, speed_cpu = train_on(model, losses, cpu, few, given.small)
    both = min(len(here), len(there))
    difference = max(abs(a - b) / abs(b) for a, b in zip(here[:both], there[:both], strict=True))
    equal &= difference <= LOSS_TOLERANCE
    batch = 2 if given.small else BATCH
    print(f"training steps a second, batch {batch}: device {speed:.2f}, CPU {speed_cpu:.2f}")
    print(f"relative difference of the first {both} losses {difference:.1e} (at most {LOSS_TOLERANCE:g})")
    print("results equal to the CPU's" if equal else "results DIFFER from the CPU's")
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
