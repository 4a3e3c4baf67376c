"""The monitor in a real browser: what it shows, when it shows it, and what happens when a side goes away."""

import io
import shutil
import time
from urllib.parse import urlsplit

import event_model
import httpx
import numpy as np
import pytest
from matplotlib.image import imread
from scipy import ndimage

from analysis.results import read_series, write_scan
from callbacks.catalogue import connect
from callbacks.frames import write_frames
from callbacks.jobs import OrderPoint, ScanJob, ScanSummary
from callbacks.publish import publish
from callbacks.series import update_series
from profile_collection.catalogue.client import ensure_server, stop_server
from profile_collection.session.monitor_process import ensure_monitor, monitor_status, stop_monitor
from profile_collection.session.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SERIES = "20260101-000000-abcdef"
POINTS = 12
WHY = "the halves of the data disagree"


def crystal(kelvin):
    """Return an object without symmetry whose phase grows with temperature, (32, 32, 32) complex64."""
    x, y, z = (2 * (np.indices((32, 32, 32)) - 16) / 32).astype(float)
    body = (np.abs(x) < 0.5) & (np.abs(y + 0.2 * x) < 0.4) & (np.abs(z) < 0.45) & (x + y + z < 0.6)
    amplitude = ndimage.gaussian_filter(body.astype(float), 0.6)
    phase = np.sin(3 * x) + np.cos(4 * y * z) + 0.04 * (kelvin - 320) * np.sin(5 * z + x)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


class Experiment:
    """A series whose scans are documents and results made by hand, at a pace of their own."""

    def __init__(self, settings, make_scan):
        self.settings, self._make_scan = settings, make_scan
        self.folder = settings.results / SERIES

    def catalogue(self):
        return connect(ensure_server(self.settings.data).address)

    def measure(self, index, kelvin, *, pause=0.0, hold=None):
        """Write a run's documents point by point; return its start document."""
        from bluesky_tiled_plugins import TiledWriter

        window = {"axis": "eta", "start": 17.0, "stop": 17.11, "step": 0.01, "num": POINTS, "exposure": 1.0}
        metadata = {
            "purpose": "rocking",
            "series_uid": SERIES,
            "series_index": index,
            "series_size": 3,
            "temperature_setpoint": kelvin,
            "branch": "heating",
            "attempt": 1,
            "sample": "test crystal",
            "simulated": True,
            "scan": window,
        }
        catalogue = self.catalogue()
        writer = TiledWriter(catalogue.raw, batch_size=1)
        run = event_model.compose_run(metadata=metadata)
        writer("start", run.start_doc)
        path = self.settings.frames / SERIES / f"{index:02d}_{run.start_doc['uid'][:8]}.h5"
        counts = np.random.default_rng(index).poisson(20.0, (POINTS, 8, 8))
        write_frames(path, counts, {}, run.start_doc)
        names = ("eta", "Tsample", "Tset", "merlin_total")
        key = {"dtype": "number", "dtype_numpy": "<f8", "shape": [], "source": "test"}
        primary = run.compose_descriptor(name="primary", data_keys=dict.fromkeys(names, key))
        writer("descriptor", primary.descriptor_doc)
        for number in range(POINTS):
            data = dict(zip(names, (17 + 0.01 * number, kelvin, kelvin, 100.0 + number), strict=True))
            writer("event", primary.compose_event(data=data, timestamps=dict.fromkeys(names, time.time())))
            time.sleep(pause)
            if hold and number == POINTS // 2:
                hold(run.start_doc["uid"])
        writer("stop", run.compose_stop())
        catalogue.close()
        return dict(run.start_doc)

    def analyse(self, start, **changes):
        """Store and publish the result of a scan, as the worker does."""
        kelvin = start["temperature_setpoint"]
        given = {"series_uid": SERIES, "run_uid": start["uid"], "series_index": start["series_index"]}
        result = self._make_scan(crystal(kelvin), kelvin, **given, **changes)
        write_scan(self.folder / "scans" / result.filename, result)
        update_series(self.folder, 3)
        empty = np.zeros(0)
        job = ScanJob(start, self.folder, "", empty.astype(int), empty, empty, empty, {}, self.folder)
        names = (start["uid"], SERIES, kelvin, "heating", 1, kelvin, result.chi_squared, 1.1, 2e-4)
        order = (OrderPoint(start["uid"], kelvin, 0.0, 0.0, False),)
        publish(ensure_server(self.settings.data).address, job, ScanSummary(*names, order, result.trusted))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, make_scan):
    """Return a series of which two of three scans are measured and analysed; its monitor runs."""
    folder = tmp_path_factory.mktemp("monitored")
    settings = Settings(data=folder / "data", results=folder / "results")
    made = Experiment(settings, make_scan)
    ensure_server(settings.data)
    made.analyse(made.measure(0, 320.0), chi_squared=0.0123)
    made.analyse(made.measure(1, 325.0), chi_squared=0.0456, trusted=False, reasons=(WHY,))
    ensure_monitor(settings)
    yield made
    stop_monitor(settings)
    stop_server(settings.data)


@pytest.fixture(scope="module")
def page(experiment, chromium):
    """Return a browser that shows the series."""
    with chromium() as found:
        found.screen(1280, 900)
        found.open(monitor_status(experiment.settings).address)
        found.wait_for("document.querySelectorAll('#table tr').length === 3", 240)
        yield found


def cells(page, row):
    return page.evaluate(
        f"[...document.querySelectorAll('#table tr')[{row + 1}].cells].map(c => c.innerText)"
    )


def test_the_numbers_on_the_page_are_those_of_the_stored_results(experiment, page):
    stored = read_series(experiment.folder)["temperatures"]
    for number, row in enumerate(stored):
        shown = cells(page, number)
        assert shown[0] == f"{row['setpoint_K']:g} K"
        assert shown[3] == f"{row['chi_squared']:.4f}"
        assert shown[5].startswith(f"{row['order_parameter_rad']:.2f} ±")
    assert page.evaluate("element('title').innerText") == f"test crystal · {SERIES}"
    assert "SIMULATED" in page.evaluate("element('badges').innerText")


def test_a_distrusted_result_is_hollow_and_says_why_and_what_to_do(page):
    shown = cells(page, 1)
    assert WHY in shown[2]
    assert "vo2 reanalyse" in shown[2]
    assert page.evaluate("element('play').hidden") is False  # two temperatures are there to play through
    symbols = page.evaluate(
        "element('order').data.filter(t => t.marker).map(t => [t.marker.symbol, t.x.length])"
    )
    assert symbols == [["circle-open", 1]] * 2  # one provisional, the other distrusted
    assert page.evaluate("element('trust-note').innerText") == "not trusted: 325 K"


def test_the_crystal_is_drawn(page):
    page.wait_for("element('crystal').dataset.shown", 240)
    for _ in range(100):  # WebGL draws when it comes to it
        shot = (255 * imread(io.BytesIO(page.picture("#crystal")))[..., :3]).astype(int)
        rows, columns, _ = shot.shape
        centre = shot[2 * rows // 5 : 3 * rows // 5, 2 * columns // 5 : 3 * columns // 5].reshape(-1, 3)
        if (np.abs(centre - shot[0, 0]).max(axis=1) > 12).mean() > 0.9:
            break
        time.sleep(0.2)
    else:
        raise AssertionError("the middle of the picture is as empty as its corner")
    assert len(np.unique(centre // 4, axis=0)) > 8  # a surface with light and phases, not a flat patch
    page.wait_for("element('slices').querySelectorAll('canvas').length === 6")
    colours = """(() => {
        const canvas = element('slices').querySelectorAll('canvas')[1];
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(data.buffer)).size })()"""
    assert page.evaluate(colours) > 20


def test_the_crystal_turns_under_the_mouse_and_the_other_temperatures_are_seen_from_there(page):
    page.evaluate("element('crystal').scrollIntoView({block: 'center'})")
    box = page.evaluate("(() => { const b = element('crystal').getBoundingClientRect();"
                        "return [b.x + b.width / 2, b.y + b.height / 2] })()")  # fmt: skip
    camera = "JSON.stringify(element('crystal')._fullLayout.scene._scene.getCamera().eye)"
    before = page.evaluate(camera)

    def mouse(kind, moved, buttons):
        place = {"x": box[0] + moved, "y": box[1] + moved / 2}
        page.call(
            "Input.dispatchMouseEvent", type=kind, button="left", buttons=buttons, clickCount=1, **place
        )

    mouse("mousePressed", 0, 1)
    for moved in range(10, 110, 10):
        mouse("mouseMoved", moved, 1)
        time.sleep(0.05)
    mouse("mouseReleased", 100, 0)
    page.wait_for(f"{camera} !== {before!r} && view")
    time.sleep(1.0)  # the turn comes to rest
    turned = page.evaluate("JSON.stringify(view.eye)")
    other = page.evaluate("shown().find(row => row.uid !== selected).uid")
    page.evaluate(f"choose('{other}')")
    page.wait_for(f"element('crystal').dataset.shown === '{other}'", 240)
    seen = page.evaluate("(({x, y, z}) => [x, y, z])(element('crystal')._fullLayout.scene.camera.eye)")
    assert seen == pytest.approx(page.evaluate("[view.eye.x, view.eye.y, view.eye.z]"), abs=1e-3)
    assert turned != before
    page.evaluate("choose(shown()[shown().length - 1].uid)")  # and goes on following the newest


def test_the_curve_grows_and_the_result_comes_when_the_scan_finishes(experiment, page):
    def half_way(uid):
        page.wait_for(f"state.curve.uid === '{uid}' && state.curve.angle.length === {POINTS // 2 + 1}", 120)
        assert page.evaluate("state.progress.activity") == "rocking at 330 K"
        assert page.evaluate("state.heading.live") is True

    start = experiment.measure(2, 330.0, hold=half_way)
    page.wait_for(f"state.curve.angle.length === {POINTS} && state.curve.ended", 120)
    experiment.analyse(start, chi_squared=0.0789)
    page.wait_for("document.querySelectorAll('#table tr').length === 4", 120)
    page.wait_for(f"element('frame-note').textContent === '330 K, frame {POINTS}'", 120)
    assert page.evaluate("element('frame-most').textContent").endswith(" counts")
    assert cells(page, 2)[3] == "0.0789"
    page.wait_for(f"element('crystal').dataset.shown === '{start['uid']}'", 240)


def test_the_temperature_stays_in_sight_when_the_series_leaves_its_first_setpoint(page):
    """The chart of one setpoint has a range of its own, which the next temperature leaves."""
    trace = "{{time: [1e9, 1e9 + 1], temperature: [320, {0}], setpoint: [320, {0}]}}"
    for kelvin in (320.01, 350.0):
        page.evaluate(f"state.trace = {trace.format(kelvin)}, DRAW.trace(), true")
        low, high = page.evaluate("[...element('trace')._fullLayout.yaxis.range]")
        assert low < 320
        assert high > kelvin


def test_before_the_first_final_result_the_quality_is_drawn_without_a_noise_ratio(page):
    page.evaluate("""(() => {
        const rows = state.results.rows;
        const begun = rows.slice(0, 1).map((row) => ({ ...row, stage: "preview" }));
        Plotly.purge(element("quality"));
        state.results.rows = begun, drawStructure();
        state.results.rows = rows; return true })()""")
    assert page.evaluate("element('quality').data.map((trace) => trace.name)") == ["χ², not final"]
    page.evaluate("drawStructure(), true")
    assert "noise ratio" in page.evaluate("element('quality').data.map((trace) => trace.name)")
    assert not [said for said in page.complaints if "NaN" in said]


def test_both_sides_may_be_started_again(experiment, page):
    settings = experiment.settings
    stop_server(settings.data)
    page.wait_for("element('messages').innerText.includes('The catalogue does not answer')", 120)
    ensure_server(settings.data)
    page.wait_for("!element('messages').innerText.includes('The catalogue does not answer')", 240)
    stop_monitor(settings)
    page.wait_for("element('messages').innerText.includes('The monitor does not answer')", 120)
    ensure_monitor(settings)
    page.wait_for("!element('messages').innerText.includes('The monitor does not answer')", 240)
    assert page.evaluate("state.results.rows.length") == 3


def test_nothing_but_loopback_is_asked_and_nothing_is_complained_of(page):
    """Of what the two restarts made the browser say nothing counts."""
    foreign = [url for url in page.requested if urlsplit(url).hostname not in ("127.0.0.1", None)]
    assert not foreign
    assert not [said for said in page.complaints if "net::ERR" not in said]


def test_without_the_key_nothing_is_shown(experiment):
    uri = monitor_status(experiment.settings).uri
    for path in ("/", "/events", "/static/monitor.js", f"/crystal/{SERIES}/x", f"/frame/{SERIES}/x"):
        assert httpx.get(uri + path, trust_env=False).status_code == 401
    wrong = httpx.get(f"{uri}/?key=wrong", trust_env=False)
    assert wrong.status_code == 403
    assert "The key that came is not this monitor" in wrong.text
    log = (experiment.settings.private / "monitor.log").read_text()
    assert monitor_status(experiment.settings).key not in log


def test_what_is_not_there_or_damaged_is_said_in_a_sentence(experiment, page):
    uri = monitor_status(experiment.settings).uri
    page.open(f"{uri}/?series=no-such-series")
    page.wait_for("element('messages').innerText.includes(\"No series 'no-such-series' is known\")", 120)
    copied = experiment.settings.results / "20250101-000000-copied"
    shutil.copytree(experiment.folder, copied)
    next((copied / "scans").glob("325K*.h5")).write_bytes(b"no HDF5")
    (copied / "series.json").write_text("{")
    page.open(f"{uri}/?series={copied.name}")
    page.wait_for("element('messages').innerText.includes('is damaged')", 120)
    said = page.evaluate("element('messages').innerText")
    assert "The result file 325K" in said
    assert "series.json of 20250101-000000-copied is damaged" in said
    # It recovers by itself: record and result come back, and what was said of them goes.
    shutil.copy(experiment.folder / "series.json", copied)
    page.wait_for("state.results.rows.length === 3", 120)
    page.wait_for("!element('messages').innerText.includes('series.json')", 120)
    whole = next((experiment.folder / "scans").glob("325K*.h5"))
    shutil.copyfile(whole, copied / "scans" / whole.name)
    page.wait_for("!element('messages').innerText.includes('is damaged')", 120)


def test_an_unknown_series_appears_when_its_results_come(experiment, page):
    later = experiment.settings.results / "20250202-000000-later"
    page.open(f"{monitor_status(experiment.settings).uri}/?series={later.name}")
    page.wait_for("element('messages').innerText.includes('is known: neither the catalogue nor')", 120)
    shutil.copytree(experiment.folder, later)
    page.wait_for("state.results.rows.length === 3", 120)
    page.wait_for("!element('messages').innerText.includes('is known: neither')", 120)


def test_a_wrong_key_is_a_page_that_says_so_and_the_right_one_opens(experiment, page):
    found = monitor_status(experiment.settings)
    page.open(f"{found.uri}/?key=mistyped")
    page.wait_for("document.body.innerText.includes('The key that came is not this monitor')", 120)
    page.open(found.address)
    page.wait_for("typeof state !== 'undefined' && state.results && state.results.rows.length === 3", 120)
    assert "key=" not in page.evaluate("location.href")  # it is not left in the browser's history
