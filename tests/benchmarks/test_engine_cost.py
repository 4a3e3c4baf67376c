"""What an iteration costs, measured beside the two transforms it cannot do without."""

import time

import pytest
import torch

from analysis.phasing.projections import SPACE, Engine, box, fixed_threads

SIZE, TURNS = 128, 7
LIMIT = 2.0


def fastest(work, turns=TURNS):
    """Return the least CPU seconds of several calls: what others do on the machine only adds."""
    work()
    least = float("inf")
    for _ in range(turns):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
    return least


@pytest.mark.parametrize("method", ["er", "hio", "raar"])
def test_an_iteration_costs_less_than_twice_its_two_transforms(method):
    shape = (SIZE,) * 3
    x = torch.view_as_complex(torch.rand(1, *shape, 2))
    engine, support = Engine(torch.rand(shape)), box(shape, (0.5,) * 3)[None]
    iterate = getattr(engine, method)

    field, image = torch.empty_like(x), torch.empty_like(x)

    def transforms():
        # Into memory that is there, as the engine's: fresh memory costs as much as a transform.
        torch.fft.fftn(x, dim=SPACE, out=field)
        torch.fft.ifftn(field, dim=SPACE, out=image)

    with fixed_threads(1):
        # The difference of two lengths leaves what a call costs once.
        each = (fastest(lambda: iterate(x, support, 4)) - fastest(lambda: iterate(x, support, 1))) / 3
        ratio = each / fastest(transforms)
    assert ratio < LIMIT, f"one iteration costs {ratio:.2f} times its two transforms"
