"""The figures, each (data, ax=None) -> Figure."""

from analysis.figures.components import clusters, scree
from analysis.figures.experiment import experiment
from analysis.figures.isosurfaces import Gallery, isosurface_views, isosurfaces, make_gallery
from analysis.figures.lattice import d_spacing, unit_cells
from analysis.figures.morphology import Morphology, measure_morphology, morphology
from analysis.figures.order_parameter import cut_open, order_parameter, overview
from analysis.figures.phase_retrieval import (
    calculated_intensity,
    diffraction_comparison,
    finish_curves,
    loss_curves,
    network_diagram,
)
from analysis.figures.phase_slices import phase_slices
from analysis.figures.rendering import Pictures
from analysis.figures.save import save, save_all
from analysis.figures.strain import domain_fractions, domain_maps, strain

__all__ = [
    "Gallery",
    "Morphology",
    "Pictures",
    "calculated_intensity",
    "clusters",
    "cut_open",
    "d_spacing",
    "diffraction_comparison",
    "domain_fractions",
    "domain_maps",
    "experiment",
    "isosurface_views",
    "isosurfaces",
    "finish_curves",
    "loss_curves",
    "make_gallery",
    "measure_morphology",
    "morphology",
    "network_diagram",
    "order_parameter",
    "overview",
    "phase_slices",
    "save",
    "save_all",
    "scree",
    "strain",
    "unit_cells",
]
