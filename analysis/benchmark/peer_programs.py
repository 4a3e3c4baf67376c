"""How each peer phases a pattern: its users' recipe, run by an interpreter in which it is installed.

Needs numpy and the peer, nothing of this repository: the interpreter may be another one. Run as a script:

``python -I peer_programs.py NAME`` prints the peer's version, or fails where it is not installed;
``python -I peer_programs.py NAME pattern.npz found.npz`` phases the pattern (``counts``, ``mask`` and
``background``, q = 0 at index n//2; ``starts`` and ``seed``) and writes ``object`` (n0, n1, n2) complex64 of
the start that the peer's own criterion prefers, that ``criterion`` and ``cpu_seconds``: of the starts alone,
children included, without imports.
"""

import importlib
import importlib.metadata
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COHERE = {
    "algorithm_sequence": "3*(20*ER+180*HIO)+20*ER",
    "hio_beta": 0.9,
    "initial_support_area": [0.5, 0.5, 0.5],
    "shrink_wrap_trigger": [1, 1],
    "shrink_wrap_type": "GAUSS",
    "shrink_wrap_threshold": 0.1,
    "shrink_wrap_gauss_sigma": 1.0,
    "twin_trigger": [2],
    "twin_halves": [0, 0],
}
"""As in its example, ``example_workspace/scan_54/conf/config_rec`` of cohere-ui, without progress lines."""


def cohere(counts: Any, mask: Any, background: float, starts: int, seed: int) -> tuple[Any, float]:
    """Run cohere-core on numpy; the least error of the modulus after the last iteration is the best.

    It has no mask and takes its random numbers from the clock: ``mask`` counts as zero, ``seed`` is not used.
    """
    from cohere_core.controller.phasing import create_rec

    best, least = np.zeros(counts.shape, np.complex64), np.inf
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npy"
        np.save(path, np.sqrt(np.maximum(np.where(mask, 0, counts - background), 0)))
        for _ in range(starts):
            worker = create_rec(dict(COHERE), str(path), "np", -1, debug=True)
            worker.iterate()
            error = float(worker.get_metric()["chi"])
            if error < least:
                # Its transform into reciprocal space is the inverse one.
                best, least = np.conj(worker.get_image()), error
    return best, least


PEERS: dict[str, tuple[str, str, Callable[..., tuple[Any, float]], dict[str, Any]]] = {
    "cohere-core": ("cohere_core", "cohere-core", cohere, COHERE),
}
"""Module that is imported, distribution that has a version, how it phases, and the settings of the recipe."""


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(arguments: list[str]) -> None:
    """Print the version of a peer, or phase a pattern."""
    module, distribution, phase, _ = PEERS[arguments[0]]
    importlib.import_module(module)
    if len(arguments) == 1:
        sys.stdout.write(f"version {importlib.metadata.version(distribution)}\n")
        return
    with np.load(arguments[1]) as given:
        pattern = given["counts"].astype(np.float32), given["mask"], float(given["background"])
        starts, seed = int(given["starts"]), int(given["seed"])
    began = cpu_seconds()
    found, criterion = phase(*pattern, starts, seed)
    used = cpu_seconds() - began
    np.savez(arguments[2], object=found.astype(np.complex64), criterion=criterion, cpu_seconds=used)


if __name__ == "__main__":
    main(sys.argv[1:])
