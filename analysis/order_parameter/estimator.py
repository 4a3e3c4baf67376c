"""Uncentred principal components of phase differences, by the Gram dual."""

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
    follow from them exactly; one more temperature adds one row of inner products.

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

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Add phase differences ``X``, (new samples, n_features) float, rad: O(n) inner products for each."""
        if not hasattr(self, "gram_"):
            return self.fit(X)
        for row in self._checked(X, reset=False):
            self._rows.append(row.copy())
            products = np.array([np.dot(known.astype(np.float64), row) for known in self._rows])
            self.gram_ = np.pad(self.gram_, (0, 1))
            self.gram_[-1], self.gram_[:, -1] = products, products
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
