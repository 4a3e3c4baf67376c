"""How far the order parameter spreads: over parts of the crystal, and over seeds of the reconstruction."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 4
"""Voxels along a block's side, more than twice the resolution: closer voxels are not independent."""

SAMPLES = 400
"""Resamplings; they know a standard error to 4 %."""


def block_bootstrap(
    differences: Floats,
    places: NDArray[np.integer],
    teaching: NDArray[np.bool_],
    *,
    block: int = BLOCK,
    samples: int = SAMPLES,
    rng: np.random.Generator | None = None,
) -> Floats:
    """Return the standard error of each temperature's order parameter by a bootstrap over voxels.

    Blocks of neighbouring voxels are drawn with replacement, and component and projections are computed anew
    from each draw. It says by how much O would differ had other parts of the crystal been seen: an upper
    estimate of what noise that is local in the object does, blind to errors that the whole object shares.
    All inner products are sums over blocks, so a draw costs one n × n eigenproblem.

    Parameters
    ----------
    differences : ndarray, (n, m) float64, rad
    places : ndarray, (m, 3) int
        Grid indices of the voxels.
    teaching : ndarray, (n,) bool
        Which temperatures span the component.
    block : int, voxels
    samples : int
    rng : numpy.random.Generator, optional
        A fixed one by default, so that the same series has the same errors.

    Returns
    -------
    ndarray, (n,) float64, rad
    """
    rng = np.random.default_rng(0) if rng is None else rng
    grams = block_grams(differences, places, block)
    central = _project(grams.sum(axis=0)[None], teaching)
    draws = rng.multinomial(len(grams), np.full(len(grams), 1 / len(grams)), size=samples)
    values = _project(np.tensordot(draws, grams, axes=1), teaching)
    turned = np.where(values @ central[0] < 0, -1.0, 1.0)
    return np.asarray((values * turned[:, None]).std(axis=0, ddof=1))


def block_grams(differences: Floats, places: NDArray[np.integer], block: int) -> Floats:
    """Return the inner products within each occupied block, (blocks, n, n) float64; their sum is the Gram."""
    _, owner = np.unique(np.asarray(places) // block, axis=0, return_inverse=True)
    owner = owner.ravel()
    order = np.argsort(owner, kind="stable")
    cuts = np.flatnonzero(np.diff(owner[order])) + 1
    parts = np.split(differences[:, order], cuts, axis=1)
    return np.stack([part @ part.T for part in parts])


def _project(grams: Floats, teaching: NDArray[np.bool_]) -> Floats:
    """Return the order parameters (draws, n) that Gram matrices (draws, n, n) stand for, up to sign."""
    values, vectors = np.linalg.eigh(grams[:, teaching][:, :, teaching])
    root = np.sqrt(np.maximum(values[:, -1], 0))
    weights = np.divide(
        vectors[:, :, -1], root[:, None], out=np.zeros(vectors.shape[:2]), where=root[:, None] > 0
    )
    return np.einsum("dnt,dt->dn", grams[:, :, teaching], weights)


def seed_spread(main: Floats, repeats: Mapping[int, Sequence[float]]) -> Floats:
    """Return the standard deviation over seeds of each temperature, (n,) float64, rad; NaN where one is all.

    Parameters
    ----------
    main : ndarray, (n,) float64, rad
        Order parameters of the results that count.
    repeats : mapping of int to sequence of float, rad
        Row to the order parameters of the same scan from other seeds.
    """
    spread = np.full(len(main), np.nan)
    for row, others in repeats.items():
        if len(others):
            spread[row] = np.std([main[row], *others], ddof=1)
    return spread
