"""Every figure of the paper and the page that holds them, from three temperatures and their doubts."""

import base64
import csv
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis import figures
from analysis.experiment import paper
from analysis.figures.lattice import STRUCTURES, vanadium_steps
from analysis.figures.rendering import SWITCH, View, finer, render, surface
from analysis.order_parameter import analyse_series
from analysis.phasing.network.model import NetworkConfig, build_network
from analysis.report import drawings, make, tables, write_report
from analysis.results import Structure
from analysis.structure import PERCENTS, strain_table

ETA, THETA, K = 17.8, 12.404, 4.5609
INSTRUMENT = {
    "name": "Diamond I16",
    "mu": 0.0,
    "eta": ETA,
    "chi": 90.0,
    "phi": 0.0,
    "delta": 2 * THETA,
    "gam": 0.0,
    "en": 9.0,
    "ic1monitor": 2e6,
    "detector": {"name": "merlin", "shape": [515, 515], "distance_mm": 1310.0, "pixel_size_mm": 0.055},
    "scan": {"axis": "eta", "start": 16.7, "stop": 18.9, "num": 221},
}
SAMPLE = {
    "name": "VO2-1",
    "UB": np.eye(3).tolist(),
    "reflection": [0, 1, 1],
    "crystal_size_nm": [1, 1.5, 1.8],
}
EXPERIMENT = paper().document()
Q_VECTOR = (
    2 * K * np.sin(np.radians(THETA)) * np.array([np.cos(np.radians(THETA)), -np.sin(np.radians(THETA)), 0])
)


@pytest.fixture(scope="module")
def results(hot_series, make_transfer):
    """Return 320 and 335 K heating, 345 K not trusted, 330 K cooling with an attenuator."""
    chosen = []
    for row, changes in (
        (0, {}),
        (3, {"notes": ("incomplete: the scan was stopped after 85 of 101 points",)}),
        (5, {"trusted": False, "reasons": ("noise ratio 1.9 above 1.6",), "transfer": make_transfer()}),
        (2, {"branch": "cooling", "series_index": 6, "instrument": {**INSTRUMENT, "transmission": 0.5}}),
    ):
        one = hot_series[row]
        known = {
            "sample": SAMPLE,
            "instrument": INSTRUMENT,
            "strain": strain_table(one.object, one.voxel_basis, one.q_vector),
            "d_spacing_error": 1e-5,
        }
        chosen.append(dataclasses.replace(one, **(known | changes)))
    return chosen


@pytest.fixture(scope="module")
def series(results):
    return analyse_series(results, expected=10)


@pytest.fixture(scope="module")
def gallery(series):
    """Return small pictures, drawn without a renderer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "matplotlib")
        return figures.make_gallery(series, pixels=80)


@pytest.fixture(scope="module")
def inside(series):
    """Return small pictures of the crystals cut open, drawn without a renderer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "matplotlib")
        return figures.cut_open(series, pixels=80)


@pytest.fixture(scope="module")
def written(results, series, gallery, inside, tmp_path_factory):
    """Return the report with small pictures, and its text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "make_galleries", lambda series: drawings.Galleries(gallery, gallery, inside))
        failures = {"350K_heating_1_a1b2c3d4": "the frames are gone"}
        report = write_report(tmp_path_factory.mktemp("report"), series, results, failures=failures)
    return report, report.page.read_text(encoding="utf-8")


def words(figure):
    return " ".join(t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text())


def panels_with_images(figure):
    return [ax for ax in figure.axes if ax.images]


# ---- surfaces ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ball():
    """Return a smooth ball of 200 nm radius on slanted voxels, its phase rising along x, and the basis."""
    basis = np.array([[20.0, 0.0, 0.0], [6.0, 25.0, 0.0], [0.0, 0.0, -22.0]])
    at = basis @ (np.indices((32, 32, 32)).reshape(3, -1) - 16)
    body = 1 / (1 + np.exp((np.linalg.norm(at, axis=0) - 200) / 12))
    return (body * np.exp(-0.01j * at[0])).reshape(32, 32, 32), basis


def test_a_surface_encloses_its_volume_and_carries_the_physical_phase(ball):
    array, basis = ball
    level = np.sort(np.abs(array).ravel())
    found = surface(array, basis, 99.0)
    radius = np.linalg.norm(found.points, axis=1)
    assert np.ptp(radius) < 15
    inside = np.abs(array) >= level[-np.count_nonzero(np.abs(array) > 0.35)]
    expected = (3 * np.count_nonzero(inside) * abs(np.linalg.det(basis)) / (4 * np.pi)) ** (1 / 3)
    assert radius.mean() == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(np.exp(1j * (found.phase - 0.01 * found.points[:, 0])), 1, atol=0.06)
    first, second, third = (found.points[found.faces[:, corner]].astype(float) for corner in range(3))
    enclosed = np.einsum("ij,ij->", first, np.cross(second, third)) / 6
    assert enclosed == pytest.approx(
        4 / 3 * np.pi * radius.mean() ** 3, rel=0.02
    )  # outward, on any handedness


def test_loose_specks_are_left_out(ball):
    array = ball[0].copy()
    array[2, 2, 2] = 0.9
    reach = np.linalg.norm(surface(array, ball[1], 99.0).points, axis=1).max()
    assert reach < 260


def test_a_cut_shows_the_phase_inside(ball):
    array, basis = ball
    found = surface(array, np.diag([20.0, 25.0, 22.0]), 99.0, cut=(1, 16))
    assert found.points[:, 1].max() == pytest.approx(0, abs=25)
    face = found.points[:, 1] > -5
    assert face.sum() > 100
    whole = surface(array, np.diag([20.0, 25.0, 22.0]), 99.0)
    assert found.points[:, 1].min() == pytest.approx(whole.points[:, 1].min(), abs=1)
    middle = face & (np.abs(found.points[:, [0, 2]]).max(axis=1) < 30)
    expected = -np.angle(array[16, 16, 16])
    np.testing.assert_allclose(found.phase[middle], expected, atol=0.4)


def test_finer_keeps_every_voxel(ball):
    dense = finer(ball[0], 2)
    np.testing.assert_allclose(dense[::2, ::2, ::2], ball[0], atol=2e-3)


@pytest.mark.parametrize("renderer", ["matplotlib", "default"])
def test_pictures_are_of_what_is_there_from_the_right_side(ball, monkeypatch, renderer):
    """Seen with x to the right and z up: as wide as the ball, blue left, red right of a phase of ±2 rad."""
    if renderer == "matplotlib":
        monkeypatch.setenv(SWITCH, "matplotlib")
    eye = np.eye(3)
    seen = render([surface(*ball, 99.0)], [View(eye[0], eye[2])], pixels=100)
    assert seen.renderer == ("matplotlib" if renderer == "matplotlib" else seen.renderer)
    image = seen.images[0, 0]
    assert image.shape == (100, 100, 4)
    width = np.count_nonzero(image[50, :, 3]) * 2 * seen.half / 100
    assert width == pytest.approx(400, abs=40)
    left, right = (image[50, column].astype(int) for column in (15, 85))
    assert left[2] > left[0], "negative phase is blue"
    assert right[0] > right[2], "positive phase is red"


def test_a_renderer_that_crashes_is_said_in_words(ball, monkeypatch):
    monkeypatch.setattr("analysis.figures.rendering.SCENE", make.Path("no such scene.py"))
    seen = render([surface(*ball, 99.0, fine=1)], [View(np.eye(3)[0], np.eye(3)[2])], pixels=40)
    assert seen.renderer == "matplotlib"
    assert seen.note.startswith("PyVista cannot render here:")
    assert seen.images[..., 3].any()


# ---- figures -------------------------------------------------------------------------------------------


def test_the_gallery_shows_each_temperature_thrice_in_nanometres_and_boxes_the_critical_ones(series, gallery):
    figure = figures.isosurfaces(series, gallery=gallery)
    shown = panels_with_images(figure)
    assert len(shown) == 3 * len(series)
    for side in range(3):
        assert len({ax.get_xlim() for ax in shown[side::3]}) == 1, "one scale for all temperatures"
    assert 1000 < np.ptp(shown[0].get_xlim()) < 3300
    boxes = [one for one in figure.get_children() if one.get_label() == "critical region"]
    assert len(boxes) == 1
    left, right = boxes[0].get_x(), boxes[0].get_x() + boxes[0].get_width()
    boxed = [
        label
        for label, ax in zip(series.scans.labels, shown[::3], strict=True)
        if left < ax.get_position().x0 and ax.get_position().x1 < right
    ]
    assert "335 K" in boxed
    assert "320 K" not in boxed
    assert "345 K · not trusted" in words(figure)
    views = figures.isosurface_views(series, gallery=gallery)
    assert len(panels_with_images(views)) == 3
    assert "seen along y" in words(views)
    assert "y ∥ Q (nm)" in words(views)


def test_the_overview_shows_every_temperature_over_the_order_parameter(series, inside):
    figure = figures.overview(series, pictures=inside)
    shown = panels_with_images(figure)
    assert [ax.get_title().split(" ·")[0] for ax in shown] == list(series.scans.labels)
    assert {ax.images[0].get_array().shape for ax in shown} == {shown[0].images[0].get_array().shape}
    assert "order parameter $O$ (rad)" in words(figure)


def test_the_geometry_is_that_of_the_run(results):
    figure = figures.experiment(dataclasses.replace(results[0], q_vector=Q_VECTOR))
    text = words(figure)
    assert "2θ = 24.808°" in text
    assert "eta 17.80°" in text
    assert "(011)" in text
    assert {"$k_i$", "$k_f$", "$Q$", "detector", "eta", "x (up)"} <= {
        t.get_text() for t in figure.findobj(Text)
    }
    stranger = dataclasses.replace(results[0], instrument={"name": "APS 34-ID-C", "delta": 32.0})
    with pytest.raises(ValueError, match="circles of APS 34-ID-C are needed to draw the geometry"):
        figures.experiment(stranger)


@pytest.mark.parametrize("architecture", ["paper", "refined"])
def test_the_network_is_drawn_with_the_shapes_it_computes(architecture):
    network = build_network(NetworkConfig(architecture=architecture, width=8, refiner_width=8))
    text = words(figures.network_diagram(network))
    assert type(network).__name__ in text
    weights = sum(one.numel() for one in network.parameters())
    assert f"{weights:,} weights" in text
    expected = {"paper": ["encoder", "phase", "64\n2³"], "refined": ["direction", "refiner", "32\n4³"]}
    for part in ("input", "object", "amplitude", *expected[architecture]):
        assert part in text
    assert network.training


def test_scree_and_clusters_show_every_eigenvalue_and_temperature(series, results):
    values = figures.scree(series).axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(values, series.order.eigenvalues)
    ax = figures.clusters(series).axes[0]
    points = {tuple(line.get_xydata()[0]): line for line in ax.lines if line.get_marker() in ("o", "v")}
    for row in range(len(series)):
        line = points[tuple(series.order.scores[row, :2])]
        assert line.get_marker() == {"heating": "o", "cooling": "v"}[series.scans.branches[row]]
        assert (line.get_markerfacecolor() == "white") == (not series.trusted[row])
    assert "not trusted: 345 K" in words(ax.figure)
    with pytest.raises(ValueError, match="at least two temperatures"):
        figures.clusters(analyse_series(results[:1], expected=1))


def test_strain_curves_are_those_of_the_results_in_units_of_1e4(results):
    figure = figures.strain(results)
    heating = [result for result in results if result.branch == "heating"]
    for ax, quantity in zip(figure.axes, ("max_abs", "mean_abs", "sigma"), strict=True):
        curves = [tuple(np.round(line.get_ydata(), 9)) for line in ax.lines if line.get_linestyle() == "-"]
        for percent in PERCENTS:
            values = [result.strain[f"{percent:g}"][quantity] * 1e4 for result in heating]
            assert tuple(np.round(values, 9)) in curves
        assert any(line.get_linestyle() not in ("-", "None") for line in ax.lines), "cooling is dashed"
    assert "99.74 %" in words(figure)
    with pytest.raises(ValueError, match="no result holds strain statistics"):
        figures.strain([dataclasses.replace(results[0], strain={})])


def test_density_is_corrected_for_monitor_and_attenuator(results, series):
    measured = figures.measure_morphology(series, results)
    assert measured.absolute
    for row, uid in enumerate(series.scans.run_uids):
        one = next(result for result in results if result.run_uid == uid)
        photons = np.sum(np.abs(one.object) ** 2) * one.object.size
        flux = 2e6 * (0.5 if one.branch == "cooling" else 1.0)
        assert measured.density[row] == pytest.approx(photons / flux, rel=1e-5)
    body = np.abs(results[0].object) > 0.5  # convex: its mean chord is its volume over its shadow
    assert measured.thickness[0] == pytest.approx(29 * body.sum() / body.any(axis=0).sum(), rel=0.03)
    assert measured.axis == "x"
    assert measured.thickness[2] < measured.thickness[0], "missing density thins it"
    blind = [dataclasses.replace(one, instrument={}) for one in results]
    relative = figures.measure_morphology(series, blind)
    assert not relative.absolute
    assert relative.density[series.scans.labels.index("320 K")] == 1
    assert "relative to the reference" in words(figures.morphology(relative))
    assert "photons per monitor count" in words(figures.morphology(measured))


def test_the_unit_cells_show_pairs_in_m1_and_equal_steps_in_rutile():
    for structure, distances in zip(STRUCTURES, ({2.62, 3.17}, {2.85}), strict=True):
        assert {round(length, 2) for *_, length in vanadium_steps(structure)} == distances
    text = words(figures.unit_cells())
    assert "V–V 2.62 and 3.17 Å along a" in text
    assert "V–V 2.85 Å along c" in text


def test_the_spacing_is_drawn_with_its_error_by_branch(series):
    ax = figures.d_spacing(series).axes[0]
    drawn = np.concatenate([box.lines[0].get_ydata() for box in ax.containers])
    np.testing.assert_allclose(np.sort(drawn), np.sort(series.lattice.d_spacing))
    low, high = ax.containers[0][2][0].get_segments()[0][:, 1]
    assert high - low == pytest.approx(2e-5, rel=1e-3)
    assert {"centre of mass, cooling", "not trusted"} <= {text.get_text() for text in ax.get_legend().texts}


def test_domain_bars_add_up_and_maps_use_the_same_colours(series):
    figure = figures.domain_fractions(series)
    heights = np.array([[bar.get_height() for bar in group] for group in figure.axes[0].containers])
    np.testing.assert_allclose(heights.sum(axis=0), 1)
    np.testing.assert_allclose(heights[3], [one.fractions["missing"] for one in series.structure.domains])
    maps = figures.domain_maps(series)
    shown = panels_with_images(maps)
    assert len(shown) == len(series)
    assert shown[0].images[0].cmap(1) == to_rgba(figure.axes[0].containers[0][0].get_facecolor())
    with pytest.raises(ValueError, match="no domains"):
        figures.domain_maps(dataclasses.replace(series, structure=Structure(domains=(), surface_bulk=())))


def test_the_order_parameter_is_drawn_with_its_own_errors_by_branch(series):
    ax = figures.order_parameter(series).axes[0]
    bars = {
        round(float(x), 6): high - low
        for box in ax.containers
        for (x, low), (_, high) in box[2][0].get_segments()
    }
    assert bars
    names = {text.get_text() for text in ax.get_legend().texts}
    assert "error: bootstrap" in names
    assert {"heating, provisional", "cooling, provisional", "not trusted: 345 K"} <= names
    caps = [box for box in ax.containers if box[0] is None]
    lengths = [high - low for box in caps for (_, low), (_, high) in box[2][0].get_segments()]
    np.testing.assert_allclose(
        np.sort(lengths), np.sort(2 * np.nan_to_num(series.order.spread[series.trusted])), atol=1e-9
    )


def test_a_temperature_that_the_sample_comes_back_to_is_drawn_in_the_order_of_measurement(results, series):
    assert len(figures.order_parameter(series).axes) == 1
    first, second = results[:2]
    cycle = [
        dataclasses.replace(one, series_index=place, branch=branch, run_uid=f"{place}{one.run_uid}")
        for place, (one, branch) in enumerate(
            [(first, "heating"), (second, "heating"), (first, "cooling"), (second, "heating")]
        )
    ]
    cycled = analyse_series(cycle, expected=4)
    _, sequence = figures.order_parameter(cycled).axes
    points = [box[0].get_xydata()[0] for box in sequence.containers]
    np.testing.assert_allclose([x for x, _ in points], [1, 2, 3, 4])
    np.testing.assert_allclose([y for _, y in points], cycled.order.parameter)
    assert [label.get_text() for label in sequence.get_xticklabels()] == [
        "1\n320 K", "2\n335 K", "3\n320 K", "4\n335 K"
    ]  # fmt: skip
    assert len({box[0].get_color() for box in sequence.containers}) == 2
    _, spacings = figures.d_spacing(cycled).axes
    assert sorted(x for box in spacings.containers for x in box.lines[0].get_xdata()) == [1, 2, 3, 4]
    curves = figures.loss_curves(
        [dataclasses.replace(one, loss_history=np.array([2.0, 1.0]), transfer=None) for one in cycle]
    )
    assert len({line.get_color() for line in curves.axes[0].lines}) == 4
    repeated = analyse_series(
        [dataclasses.replace(first, series_index=n, run_uid=f"{n}{first.run_uid}") for n in range(3)]
    )
    kelvin, _ = figures.order_parameter(repeated).axes
    assert np.ptp(kelvin.get_xlim()) >= 2  # the temperature's noise is no axis
    named = {text.get_text() for text in figures.clusters(cycled).axes[0].texts}
    assert named == {"320 #1, #3", "335 #2, #4"}
    assert repeated.order.spread_source == "error: bootstrap, at least repeats' scatter"


@pytest.mark.parametrize(
    "draw",
    [
        lambda series, results, ax: figures.scree(series, ax),
        lambda series, results, ax: figures.clusters(series, ax),
        lambda series, results, ax: figures.strain(results, ax),
        lambda series, results, ax: figures.d_spacing(series, ax),
        lambda series, results, ax: figures.domain_fractions(series, ax),
        lambda series, results, ax: figures.unit_cells(ax=ax),
        lambda series, results, ax: figures.experiment(results[0], ax),
    ],
)
def test_figures_can_be_drawn_in_a_given_place(series, results, draw):
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, _ = figure.subplots(1, 2)
    assert draw(series, results, left) is figure
    figure.draw_without_rendering()


# ---- the page ------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects links, pictures, headings and the cells of every table row; refuses tags that do not close."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.targets, self.ids, self.rows, self.tags = [], [], set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append(tag)
        self.targets += [known[name] for name in ("src", "href") if name in known]
        self.ids |= {known["id"]} if "id" in known else set()
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append((known.get("class", ""), []))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][1].append(data)


def test_the_page_needs_nothing_but_itself(written):
    report, text = written
    page = Page(text)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?\s*(https?:)?//""", text)
    pictures = [target for target in page.targets if target.startswith("data:image/png;base64,")]
    for picture in pictures:
        assert base64.b64decode(picture.split(",")[1]).startswith(b"\x89PNG")
    assert len(pictures) == page.tags.count("img") == len(report.figures) // 2
    anchors = [target[1:] for target in page.targets if not target.startswith("data:")]
    assert anchors
    assert set(anchors) <= page.ids
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_every_figure_of_the_paper_is_there_as_png_and_pdf(written):
    report, _ = written
    names = {path.stem for path in report.figures}
    assert names >= {
        "overview",
        "experiment",
        "isosurface_views",
        "network",
        "loss_curves",
        "isosurfaces",
        "morphology",
        "strain",
        "phase_slices_x",
        "phase_slices_y",
        "phase_slices_z",
        "order_parameter",
        "unit_cells",
        "scree",
        "clusters",
        "diffraction",
        "d_spacing",
        "domain_fractions",
        "domain_maps",
    }
    for path in report.figures:
        assert path.read_bytes().startswith({".png": b"\x89PNG", ".pdf": b"%PDF"}[path.suffix])
    assert report.notes == ("3D views by Matplotlib: VO2_RENDERER=matplotlib is set",)


def test_the_page_says_what_to_doubt(written, series):
    _, text = written
    assert "noise ratio 1.9 above 1.6" in text
    assert ">provisional</span>" in text
    assert "4 of 10 temperatures" in text
    assert "350K_heating_1_a1b2c3d4: could not be analysed, the frames are gone" in text
    assert "3D views by Matplotlib" in text
    doubtful = [cells[0] for style, cells in Page(text).rows if style == "doubt"]
    assert set(doubtful) == {"345 K"}
    noted = [cells for _, cells in Page(text).rows if "85 of 101 points" in " ".join(cells)]
    assert noted == [["335 K", "incomplete: the scan was stopped after 85 of 101 points"]]


def test_the_tables_hold_the_numbers_of_the_series(written, series, results):
    report, text = written
    with (report.page.parent / "order_parameter_and_fit.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["setpoint"] for row in table] == list(series.scans.labels)
    for row, value, fit in zip(table, series.order.parameter, series.fit.values, strict=True):
        assert float(row["O (rad)"].replace("−", "-")) == pytest.approx(value, abs=0.006)
        assert float(row["best fit (rad)"].replace("−", "-")) == pytest.approx(fit, abs=0.006)
    with (report.page.parent / "strain.csv").open() as file:
        first = next(csv.DictReader(file))
    assert float(first["σ, 95 %"]) == pytest.approx(1e4 * results[0].strain["95"]["sigma"], abs=0.006)
    assert {path.stem for path in report.page.parent.glob("*.csv")} == {
        "order_parameter_and_fit",
        "chi_squared",
        "strain",
        "d_spacing",
        "morphology",
        "domains",
        "network_alone",
    }
    for uid in series.scans.run_uids:
        assert uid in text


def test_the_loss_of_transfer_learning_stands_beside_the_papers_and_is_not_compared(
    written, results, series, tmp_path
):
    report, text = written
    with (report.page.parent / "chi_squared.csv").open() as file:
        table = {row["setpoint"]: row for row in csv.DictReader(file)}
    final = results[2].transfer.final_loss
    assert table["345 K"]["L3 after transfer learning"] == f"{final:.4f}"
    assert table["345 K"]["the paper's loss"] == "0.0329"
    assert table["345 K"]["χ²"] != table["345 K"]["L3 after transfer learning"]
    assert table["320 K"]["L3 after transfer learning"] == "–"
    assert "not comparable: the paper does not define its average" in text
    assert "Transfer learning: loss and overlap (Fig. 2b)" in text
    with (report.page.parent / "network_alone.csv").open() as file:
        alone = {row["setpoint"]: row for row in csv.DictReader(file)}
    assert alone["345 K"]["overlap, transfer"] == "0.690"
    assert alone["320 K"]["overlap, transfer"] == "–"
    # Another experiment's temperatures are nobody's to compare; without any transfer the figure says so.
    other = dataclasses.replace(results[2], experiment={**EXPERIMENT, "name": "gold"}, transfer=None)
    assert tables.chi_squared_table(series, [other] * 4).rows[0][4] == "–"
    assert "No transfer learning has run" in drawings._loss_curves([other]).caption


def test_a_figure_that_fails_is_named_and_the_others_are_drawn(
    results, series, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(make, "make_galleries", lambda series: drawings.Galleries(None, None, None))
    monkeypatch.setattr(drawings.Galleries, "note", "")
    kept = ("isosurface_views", "scree", "experiment")
    every = make.drawings
    monkeypatch.setattr(make, "drawings", lambda *given: [one for one in every(*given) if one.name in kept])
    monkeypatch.setattr(
        drawings.figures, "isosurface_views", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no light"))
    )
    blind = [dataclasses.replace(one, instrument={}) for one in results]
    report = write_report(tmp_path, series, blind)
    assert {path.stem for path in report.figures} == {"scree"}
    assert any("no light" in note for note in report.notes)
    assert any("the instrument must be one of" in note for note in report.notes)
    with pytest.raises(ValueError, match="result of every temperature"):
        write_report(tmp_path, series, results[:1])
