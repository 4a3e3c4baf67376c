"""Domains and surface strain of every temperature of a series, in the series' one gauge."""

import numpy as np

from analysis.order_parameter.gauge import Floats, Gauge
from analysis.structure import Domain, Domains, SurfaceBulk, find_domains, surface_and_bulk


def series_structure(gauge: Gauge, q_vector: Floats) -> tuple[tuple[Domains, ...], tuple[SurfaceBulk, ...]]:
    """Return the domains of each temperature, and its strain in the surface shell and in the bulk.

    Missing density is judged against the reference; shell and bulk are those of the reference's support.

    Parameters
    ----------
    gauge : Gauge
    q_vector : ndarray, (3,) float64, Å⁻¹
        Of the reference.
    """
    reference = gauge.aligned[gauge.reference]
    domains = tuple(
        find_domains(array, gauge.basis, q_vector, gauge.support, reference=reference)
        for array in gauge.aligned
    )
    shells = tuple(
        surface_and_bulk(
            array,
            gauge.basis,
            q_vector,
            gauge.support & (np.asarray(found.labels) != Domain.MISSING),
            outline=gauge.support,
        )
        for array, found in zip(gauge.aligned, domains, strict=True)
    )
    return domains, shells
