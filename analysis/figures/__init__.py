"""The figures, each (data, ax=None) -> Figure."""

from analysis.figures.components import clusters, scree
from analysis.figures.d_spacing import d_spacing
from analysis.figures.diffraction import calculated_intensity, diffraction_comparison
from analysis.figures.domains import domain_fractions, domain_maps
from analysis.figures.experiment import experiment
from analysis.figures.isosurfaces import Gallery, isosurface_views, isosurfaces, make_gallery
from analysis.figures.loss_curves import loss_curves
from analysis.figures.morphology import Morphology, measure_morphology, morphology
from analysis.figures.network import network_diagram
from analysis.figures.order_parameter import order_parameter
from analysis.figures.overview import cut_open, overview
from analysis.figures.phase_slices import phase_slices
from analysis.figures.rendering import Pictures
from analysis.figures.save import save, save_all
from analysis.figures.strain import strain
from analysis.figures.unit_cells import unit_cells

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
