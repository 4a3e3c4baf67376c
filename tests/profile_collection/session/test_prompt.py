"""What a person has at the prompt."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import profile_collection
from callbacks.catalogue import rocking_starts, series_runs
from profile_collection.session.prompt import banner, commands, in_words, status_screen
from profile_collection.session.resuming import series_progress
from profile_collection.session.series_view import SeriesView, series_list
from vo2_plans import EtaWindow

WINDOW = EtaWindow(17.76, 17.84, 0.02, 30.0)
CSV = """setpoint_K,branch,order_parameter_rad,trusted,run_uid
320.0,heating,0.0,True,a
335.0,heating,-61.52341,True,b
"""


@pytest.fixture
def session(served, make_session):
    return make_session(served)


def text(renderable):
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


@pytest.mark.slow
def test_a_series_is_steered_while_it_runs_and_a_temperature_is_retaken_afterwards(session):
    begun = []

    def steer(name, doc):
        """Do what a person would do at the paused prompt."""
        if name == "start" and doc["purpose"] == "rocking":
            begun.append((doc["temperature_setpoint"], doc["attempt"]))
            if len(begun) == 2:
                session.steering.ask_again(330.0)
            if len(begun) == 3:
                session.steering.stop = True
        elif name == "event" and len(begun) == 1 and doc["seq_num"] == 2:
            session.steering.skip = True

    token = session.RE.subscribe(steer)
    session.RE(session.temperature_series([320.0, 330.0, 335.0], WINDOW, locate=False))
    session.RE.unsubscribe(token)
    assert begun == [(320.0, 1), (330.0, 1), (330.0, 2)]
    uid = session.catalogue.raw.v3.values()[-1].start["series_uid"]
    runs = series_runs(session.catalogue, uid)
    skipped = next(run for run in runs if run.metadata["start"]["temperature_setpoint"] == 320.0)
    assert skipped.metadata["stop"]["exit_status"] == "fail"
    assert skipped.metadata["stop"]["reason"] == "skipped by hand"
    shown = session.view.console.file.getvalue()
    assert "320 K is skipped; the series goes on" in shown
    assert "The series ends here as asked" in shown

    names = commands(session)
    with pytest.raises(ValueError, match=r"skip_temperature\(\) changes a series that is paused"):
        names["skip_temperature"]()
    with pytest.raises(ValueError, match="a temperature of the series"):
        names["retake"](345.0)
    session.RE(names["retake"](330.0))
    assert series_progress(session.catalogue, uid).attempts == {0: 1, 1: 3}
    session.drain()
    assert uid in text(series_list(rocking_starts(session.catalogue)))
    with pytest.raises(ValueError, match=r"\d series are stored, -100 came"):
        names["series"](-100)
    with pytest.raises(ValueError, match=r"retake\(345\), '345 K' came"):
        names["retake"]("345 K")


def test_banner_and_status_say_what_this_beamline_is(session):
    shown = text(banner(session))
    for word in (
        "SIMULATED",
        "vo2-demo",
        "GB free",
        session.catalogue.address.uri,
        "RE(temperature_series())",
    ):
        assert word in shown
    screen = text(status_screen(session))
    for word in ("idle", "closed", "mA", "K, setpoint", "in work or waiting", "eta 17."):
        assert word in screen


def test_every_function_explains_itself_with_an_example(session):
    for name, function in commands(session).items():
        assert f"{name}(" in (function.__doc__ or "").split("Examples")[-1], name


def test_a_series_shows_itself_as_a_table_and_in_jupyter_with_its_figure(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "order_parameter.csv").write_text(CSV)
    view = SeriesView.read("20261122-a", tmp_path)
    assert "-61.52" in repr(view)
    assert "run_uid" not in repr(view)
    assert "…" not in repr(view)  # no heading is cut off
    assert "<img" not in view._repr_html_()
    (tmp_path / "order_parameter.csv").write_text(CSV.splitlines()[0])
    assert "no temperature is analysed yet" in repr(SeriesView.read("20261122-a", tmp_path))
    (tmp_path / "figures" / "order_parameter.png").write_bytes(b"png")
    assert 'src="data:image/png;base64,' in view._repr_html_()
    with pytest.raises(FileNotFoundError, match=r"list_series\(\) shows what is stored"):
        SeriesView.read("no-such", tmp_path / "none")


def test_a_mistake_at_the_prompt_is_a_sentence_and_a_fault_of_the_program_keeps_its_traceback():
    assert in_words(ValueError("a temperature was expected"), ["vo2_plans.steering"])
    assert in_words(ValueError("a temperature was expected"), ["numpy.linalg"]) == ""
    assert in_words(ZeroDivisionError("division by zero"), ["vo2_plans.steering"]) == ""
    assert "both pairs of parentheses" in in_words(TypeError("'function' object is not iterable"), ["x"])


LINES = """
print("NAMES", all(name in globals() for name in {names!r}))
get_ipython().run_line_magic("wa", "")
_ = RE(count([beam.rc], 2))
get_ipython().run_line_magic("mov", "eta 17.5")
print("ETA", eta.position)
get_ipython().run_cell("temperature_series()")
get_ipython().run_cell("retake(345)")
status()
print("COMPLETES", "temperature_series" in get_ipython().Completer.global_matches("temperature_s"))
session.close()
"""
NAMES = (
    "bp",
    "bps",
    "count",
    "mv",
    "status",
    "list_series",
    "series",
    "retake",
    "skip_temperature",
    "db",
    "RE",
)


@pytest.mark.slow
def test_ipython_has_the_usual_names_and_magics(own_settings, fake_analysis, tmp_path):
    folder = Path(profile_collection.__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "IPython", f"--profile-dir={folder}", "--HistoryManager.enabled=False"]
        + ["-c", LINES.format(names=NAMES)],
        env={
            **os.environ,
            **own_settings.environment(),
            "VO2_QUICK": "1",
            "VO2_ANALYSIS": fake_analysis,
            "PYTHONPATH": os.pathsep.join([str(folder.parent), str(tmp_path)]),
        },
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for word in ("SIMULATED", "NAMES True", "COMPLETES True", "heated_stage", "in work or waiting"):
        assert word in done.stdout, done.stdout[-3000:] + done.stderr[-2000:]
    assert "rc" in done.stdout.split("NAMES True")[1]
    assert "seq_num" in done.stdout  # the table of bluesky's count
    assert "AttributeError" not in done.stdout
    assert "ETA 17.5" in done.stdout
    assert "nothing has moved yet; RE(temperature_series(...)) runs it" in done.stdout
    assert "Traceback" not in done.stdout  # of retake(345), where there is no series
