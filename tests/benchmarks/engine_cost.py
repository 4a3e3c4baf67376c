"""What an iteration costs, beside the two transforms it cannot do without. Prints; judges nothing.

``make benchmark`` runs it; alone: ``python tests/benchmarks/engine_cost.py``.
"""

import time

import torch

from analysis.phasing.projections import SPACE, Engine, box, fixed_threads

SIZE, TURNS = 128, 7


def fastest(work, turns=TURNS):
    """Return the least CPU seconds of several calls: what others do on the machine only adds."""
    work()
    least = float("inf")
    for _ in range(turns):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
    return least


def seconds_per_iteration(method):
    """Return CPU seconds of one iteration and of its two transforms, on one thread."""
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
        return each, fastest(transforms)


if __name__ == "__main__":
    print(f"one iteration at {SIZE}³, CPU seconds of one thread, least of {TURNS}")
    print("method  iteration  two transforms  ratio")
    for method in ("er", "hio", "raar"):
        each, transforms = seconds_per_iteration(method)
        print(f"{method:6}  {each:9.4f}  {transforms:14.4f}  {each / transforms:5.2f}")
