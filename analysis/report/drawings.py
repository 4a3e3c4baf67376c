"""Which figures a report holds, in the paper's order, and how each is drawn."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis import figures
from analysis.figures.isosurfaces import PERCENT
from analysis.figures.style import NAMES
from analysis.results import ScanResult, SeriesResult

logger = logging.getLogger(__name__)

HOLES_PERCENT = 95.0
"""A second isosurface: at 99.74 % the faint rest of what left the Bragg condition still counts as inside."""


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes
    ----------
    name : str
        For files and anchors.
    title, caption : str
    draw : callable
        Returns the Figure.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Galleries:
    """Isosurfaces, rendered once for all figures that show them, and what there is to say about it."""

    paper: figures.Gallery
    holes: figures.Gallery
    inside: figures.Pictures

    @property
    def note(self) -> str:
        """Why the pictures are not PyVista's; empty where they are."""
        return self.paper.pictures.note or self.holes.pictures.note or self.inside.note


def make_galleries(series: SeriesResult) -> Galleries:
    """Render the isosurfaces of the report."""
    return Galleries(
        figures.make_gallery(series, percent=PERCENT),
        figures.make_gallery(series, percent=HOLES_PERCENT),
        figures.cut_open(series),
    )


def drawings(
    series: SeriesResult,
    results: Sequence[ScanResult],
    galleries: Galleries,
    measured: figures.Morphology,
) -> list[Drawing]:
    """Return the figures of a series in the paper's order; ``results`` are those that it counts."""
    first_slices, *other_slices = _phase_slices(series)
    return [
        *_experiment_and_phasing(series, results, galleries),
        *_shape_and_strain(series, results, galleries, measured),
        first_slices,
        *_order_parameter(series),
        *other_slices,
        *_diffraction_and_lattice(series, results),
    ]


def _experiment_and_phasing(
    series: SeriesResult, results: Sequence[ScanResult], galleries: Galleries
) -> list[Drawing]:
    """Return the overview and Figs. 1 and 2."""
    reference = results[series.gauge.reference]
    return [
        Drawing(
            "overview",
            "At a glance",
            "The crystal cut open at every temperature (95 % isosurface, colour: phase); order parameter.",
            lambda: figures.overview(series, pictures=galleries.inside),
        ),
        Drawing(
            "experiment",
            "Geometry as measured (Fig. 1a)",
            "Directions from the run's own angles in the laboratory frame; lengths are not to scale.",
            lambda: figures.experiment(reference),
        ),
        Drawing(
            "isosurface_views",
            "The crystal from three sides (Fig. 1b)",
            "Colour: phase at the surface. One scale in all three views.",
            lambda: figures.isosurface_views(series, gallery=galleries.paper),
        ),
        Drawing(
            "network",
            "The phasing network (Fig. 2a)",
            "Drawn from the model: every stage with the channels and the side of what it hands on.",
            _network,
        ),
        _loss_curves(results),
    ]


def _loss_curves(results: Sequence[ScanResult]) -> Drawing:
    """Return Fig. 2b, or under its own name what stands in its place."""
    if any(result.transfer for result in results):
        return Drawing(
            "loss_curves",
            "Transfer learning: loss and overlap (Fig. 2b)",
            "The network fine-tuned on each pattern with the Fourier loss L3 alone. Dotted: L3 of the "
            "search's object. Right: overlap with that object. A low loss does not make an object right: the "
            "overlap may fall while the loss does.",
            lambda: figures.loss_curves(results),
        )
    return Drawing(
        "loss_curves",
        "χ² over the last stage of phasing (in the place of Fig. 2b)",
        "No transfer learning has run on these scans: vo2 transfer does it. Shown is χ² before each "
        "iteration of the final descent; where a start was the network fine-tuned, its loss instead. A low "
        "value does not make an object right.",
        lambda: figures.loss_curves(results),
    )


def _shape_and_strain(
    series: SeriesResult,
    results: Sequence[ScanResult],
    galleries: Galleries,
    measured: figures.Morphology,
) -> list[Drawing]:
    """Return Figs. 3 and 4."""
    return [
        Drawing(
            "isosurfaces",
            "All temperatures from three sides (Fig. 3)",
            "Each temperature's own 99.74 % isosurface; the box marks the critical region.",
            lambda: figures.isosurfaces(series, gallery=galleries.paper),
        ),
        Drawing(
            "isosurfaces_95",
            "The same at 95 %",
            "At 95 % what has left the Bragg condition is missing altogether.",
            lambda: figures.isosurfaces(series, gallery=galleries.holes),
        ),
        Drawing(
            "morphology",
            "Thickness and total density (beside Fig. 3)",
            "Thickness between half-amplitude facets along the thinnest axis; density at one incident flux, "
            "corrected for monitor and attenuator.",
            lambda: figures.morphology(measured),
        ),
        Drawing(
            "strain",
            "Strain along Q (Fig. 4)",
            "Inside several isosurfaces. From 99 % on, ringing of the band limit in the rim adds to it.",
            lambda: figures.strain(results),
        ),
    ]


def _phase_slices(series: SeriesResult) -> list[Drawing]:
    """Return the slices normal to each axis, Fig. 5a first."""
    return [
        Drawing(
            f"phase_slices_{normal}",
            f"Phase normal to {normal} ({number})",
            "Phase Q·u in the slice through the middle; the reference's outline, missing density hatched. "
            "Tensile where the phase rises along Q.",
            lambda normal=normal: figures.phase_slices(series, normal=normal),  # type: ignore[misc]
        )
        for normal, number in (("y", "Fig. 5a"), ("x", "Fig. S3"), ("z", "Fig. S4"))
        if normal in NAMES
    ]


def _order_parameter(series: SeriesResult) -> list[Drawing]:
    """Return Figs. 5b and 5c, and the components behind them."""
    return [
        Drawing(
            "order_parameter",
            "Order parameter (Fig. 5b)",
            "Dashed bars: distance from the best fit, as in the paper. Bars with caps: the reconstructions' "
            f"own errors ({series.order.spread_source.removeprefix('error: ')}). Dotted: a single smooth "
            "step. Where the sample came back to a temperature, the lower panel shows the scans in the order "
            "of measurement.",
            lambda: figures.order_parameter(series),
        ),
        Drawing(
            "unit_cells",
            "Unit cells of M1 and rutile (Fig. 5c)",
            "Vanadium pairs in M1, equal steps in rutile (Longo & Kierkegaard 1970; McWhan et al. 1974).",
            lambda: figures.unit_cells(),
        ),
        Drawing(
            "scree",
            "Scree (Fig. S1)",
            "Eigenvalues of the uncentred covariance of Δφ.",
            lambda: figures.scree(series),
        ),
        Drawing(
            "clusters",
            "First two components (Fig. S2)",
            "The line follows the sample's way.",
            lambda: figures.clusters(series),
        ),
    ]


def _diffraction_and_lattice(series: SeriesResult, results: Sequence[ScanResult]) -> list[Drawing]:
    """Return the comparison with the measurement, and what the paper does not draw."""
    return [
        Drawing(
            "diffraction",
            "Measured and calculated diffraction (Fig. S3 of the text)",
            "The central detector image over the one that the reconstruction predicts; grey: not measured.",
            lambda: figures.diffraction_comparison(results),
        ),
        Drawing(
            "d_spacing",
            "Plane spacing",
            "The mean lattice change, which the phase does not show once its ramp is taken out.",
            lambda: figures.d_spacing(series),
        ),
        Drawing(
            "domain_fractions",
            "Domains",
            "By strain, not by the phase's colour.",
            lambda: figures.domain_fractions(series),
        ),
        Drawing(
            "domain_maps",
            "Domain maps",
            "Slice through the middle, normal to x.",
            lambda: figures.domain_maps(series),
        ),
    ]


def _network() -> Figure:
    """Draw the network that phases; where its weights cannot be read, one of its kind without them."""
    from analysis.phasing.network.model import NetworkConfig, build_network
    from analysis.phasing.network.pretrained import load_pretrained

    try:
        return figures.network_diagram(load_pretrained().network)
    except (OSError, ValueError) as error:
        logger.warning("the trained network could not be read: %s", error)
        return figures.network_diagram(build_network(NetworkConfig()))
