"""Uncentred principal components of phase differences, linear and on the circle, and how far they spread."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

Floats = NDArray[np.float64]


class OrderParameter(TransformerMixin, BaseEstimator):
    """Order parameter of a series of phase differences: projection on the leading principal component.

    The covariance C = Σ_n Δφ_n ⊗ Δφ_n (Najeeb et al., eq. 2) is not mean-centred, and at 64³ voxels would
    hold 550 GB. Its non-zero eigenvalues are those of the n × n Gram matrix Δφ_m·Δφ_n, and its eigenvectors
    follow from them exactly.

    Sign: v_1 is turned so that Σ O_n abs(O_n) ≤ 0. The order parameter then starts at 0 in the reference and
    drops, as in Fig 5b. The other components follow the same rule.

    Parameters
    ----------
    n_components : int or None
        How many components `transform` gives; all by default.

    Attributes
    ----------
    eigenvalues_ : ndarray, (n_samples,) float64, rad²
        Of C, falling; those beyond the rank are 0.
    components_ : ndarray, (n_components, n_features) float64
        Unit eigenvectors; zero beyond the rank.
    scores_ : ndarray, (n_samples, n_components) float64, rad
        Projection of each sample on the components.
    order_parameter_ : ndarray, (n_samples,) float64, rad
        First column of the scores: O_n = v_1ᵀ Δφ_n (eq. 3).
    explained_ratio_ : ndarray, (n_samples,) float64
        Eigenvalues over their sum (0 where all are 0).
    gram_ : ndarray, (n_samples, n_samples) float64, rad²
    n_features_in_ : int

    References
    ----------
    Turk & Pentland 1991, doi:10.1162/jocn.1991.3.1.71 (the dual).
    """

    def __init__(self, n_components: int | None = None) -> None:
        self.n_components = n_components

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Fit to phase differences ``X``, (n_samples, n_features) float, rad; voxels without phase are 0."""
        rows = self._checked(X, reset=True)
        self._rows = [row.copy() for row in rows]
        self.gram_ = rows.astype(np.float64) @ rows.astype(np.float64).T
        return self._decompose()

    def transform(self, X: ArrayLike) -> Floats:
        """Return the projections of ``X``, (n_samples, n_components) float64, rad, on the components."""
        check_is_fitted(self)
        return np.asarray(self._checked(X, reset=False) @ self.components_.T)

    def _checked(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        """Return ``X`` as finite rows, (n_samples, features) float; ``reset`` makes its width the rule."""
        return np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], reset=reset))

    def _decompose(self) -> Self:
        values, vectors = np.linalg.eigh(self.gram_)
        values, vectors = values[::-1], vectors[:, ::-1]
        floor = max(values[0], 0) * len(values) * np.finfo(float).eps
        self.eigenvalues_ = np.where(values > floor, values, 0.0)
        kept = len(values) if self.n_components is None else min(self.n_components, len(values))
        scores = vectors[:, :kept] * np.sqrt(self.eigenvalues_[:kept])
        sign = np.where((scores * np.abs(scores)).sum(axis=0) > 0, -1.0, 1.0)
        self.scores_ = scores * sign
        self.order_parameter_ = self.scores_[:, 0].copy()
        total = self.eigenvalues_.sum()
        self.explained_ratio_ = self.eigenvalues_ / total if total > 0 else np.zeros_like(self.eigenvalues_)
        self._weights = _scaled(vectors[:, :kept] * sign, self.eigenvalues_[:kept])
        return self

    @property
    def components_(self) -> Floats:
        """Unit eigenvectors of C, (n_components, n_features) float64, made from the samples on demand."""
        check_is_fitted(self)
        return np.asarray(self._weights.T @ np.stack(self._rows).astype(np.float64))

    @property
    def _n_features_out(self) -> int:
        return int(self.scores_.shape[1])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "gram_")


def _scaled(vectors: Floats, eigenvalues: Floats) -> Floats:
    """Return vectors / √eigenvalues, 0 where an eigenvalue is."""
    roots = np.sqrt(eigenvalues)
    return np.divide(vectors, roots, out=np.zeros_like(vectors), where=roots > 0)


Flags = NDArray[np.bool_]


class CircularOrderParameter(OrderParameter):
    """Uncentred principal components of phase differences as points on the circle.

    A wrapped phase that grows past π comes back at −π, and a linear order parameter jumps with it. Here each
    voxel enters as (cos Δφ − 1, sin Δφ), where nothing jumps: −π and π are one point, the reference and
    missing voxels are the origin, and for small Δφ it is the linear order parameter. It looks at one
    temperature at a time and so knows chords, no turns: its score saturates once the strongest voxels are
    beyond about 1.1 π. Where neighbouring temperatures are close, `follow_phases` knows the turns.

    Parameters and attributes are those of `OrderParameter`, with one difference: ``components_`` is
    (n_components, 2 n_features), first the weights of the cosines, then those of the sines. Scores are
    without unit.

    References
    ----------
    Altis et al. 2007, doi:10.1063/1.2746330 (principal components of angles by cosines and sines).
    """

    def _checked(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        return circle(super()._checked(X, reset=reset))


def follow_phases(differences: Floats, valid: Flags, path: Floats, reference: int, anchors: Flags) -> Floats:
    """Return phase differences with the turns that they made since the reference.

    Outward from the reference, each voxel takes the turn that is nearest to where it last was: exact while
    no voxel moves by more than π between neighbours. A voxel that is missing keeps its last turn until it
    comes back.

    Parameters
    ----------
    differences : ndarray, (n, m) float64, rad
        Wrapped, against the reference.
    valid : ndarray, (n, m) bool
        Where they are defined; the result is 0 elsewhere.
    path : ndarray, (n,) float64
        Places of the rows along the way that the sample went.
    reference : int
        Row that the differences are against.
    anchors : ndarray, (n,) bool
        Rows that others may be followed from: the trusted ones.
    """
    followed = np.zeros_like(differences)
    order = np.argsort(np.abs(path - path[reference]), kind="stable")
    for side in (1, -1):
        last = np.zeros(differences.shape[1])
        for row in order[side * (path[order] - path[reference]) >= 0]:
            turns = np.round((differences[row] - last) / (2 * np.pi))
            followed[row] = np.where(valid[row], differences[row] - 2 * np.pi * turns, 0)
            if anchors[row]:
                last = np.where(valid[row], followed[row], last)
    followed[reference] = 0
    return followed


def circle(phases: NDArray[np.floating]) -> NDArray[Any]:
    """Return (cos Δφ − 1, sin Δφ) of phases (n, m) float, rad, side by side: (n, 2 m)."""
    # cos − 1 loses its digits for small phases, −2 sin² of the half does not.
    return np.hstack([-2 * np.sin(phases / 2) ** 2, np.sin(phases)])


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


def repeat_error(values: Floats, groups: Sequence[Sequence[int]]) -> float:
    """Return the standard error of one order parameter that repeated scans show, rad; NaN without repeats.

    It is √2 times the standard deviation within the groups, pooled: the scatter of repeats is the noise of
    one reconstruction along v_1, and an order parameter is the difference of two, its own and the
    reference's. Neither the bootstrap over voxels nor the seeds know this noise: where little changes, the
    leading component follows the noise of the very scans that it is then read off.

    Parameters
    ----------
    values : ndarray, (n,) float64, rad
        Order parameters.
    groups : sequence of sequence of int
        Rows that are repeats of each other.
    """
    parts = [values[list(group)] for group in groups if len(group) > 1]
    if not parts:
        return float("nan")
    squares = sum(float(np.sum((part - part.mean()) ** 2)) for part in parts)
    return float(np.sqrt(2 * squares / sum(len(part) - 1 for part in parts)))
