"""The figures, each (data, ax=None) -> Figure."""

from analysis.figures.diffraction import calculated_intensity, diffraction_comparison
from analysis.figures.loss_curves import loss_curves
from analysis.figures.order_parameter import order_parameter
from analysis.figures.phase_slices import phase_slices
from analysis.figures.save import save, save_all

__all__ = [
    "calculated_intensity",
    "diffraction_comparison",
    "loss_curves",
    "order_parameter",
    "phase_slices",
    "save",
    "save_all",
]
