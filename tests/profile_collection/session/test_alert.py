"""The alert command, and the log of a session."""

import logging
import stat
import sys

import pytest

from callbacks.jobs import OrderPoint, ScanSummary
from profile_collection.session.alert import Alert
from profile_collection.session.session_log import session_log
from profile_collection.session.settings import load_settings
from vo2_plans import EtaWindow

WINDOW = EtaWindow(17.76, 17.84, 0.02, 30.0)
NOTE = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('a').write(sys.argv[-1] + '\\n')"


@pytest.fixture
def pager(tmp_path):
    """Return a command that writes what it was told into a file, a blank in its name, and the file."""
    (tmp_path / "page me.py").write_text(NOTE)
    path = tmp_path / "told.txt"
    return f"{sys.executable} '{tmp_path / 'page me.py'}' {path}", path


def test_the_reason_is_one_argument_and_no_shell_reads_it(pager):
    command, path = pager
    alert, remarks = Alert(command, print), []
    alert("340 K: $(rm -rf /tmp/nothing); `id` > x 'π'")
    alert.close()
    assert path.read_text(encoding="utf-8") == "340 K: $(rm -rf /tmp/nothing); `id` > x 'π'\n"
    assert remarks == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("/no/such/program", "No such file"),
        (f"{sys.executable} -c 'import sys; sys.exit(\"no modem\")'", "it ended with 1 no modem"),
        (f"{sys.executable} -c 'import time; time.sleep(600)'", "took more than 0.5 s and was ended"),
    ],
)
def test_a_command_that_fails_is_logged_and_said(command, why, caplog):
    remarks = []
    alert = Alert(command, remarks.append, time_limit=0.5 if "sleep" in command else 30.0)
    alert("beam lost")
    alert.close()
    assert why in remarks[0]
    assert "nobody was told: beam lost" in remarks[0]
    assert why in caplog.text


def test_failed_and_complete_scans_alert_and_others_do_not(pager):
    command, path = pager
    alert = Alert(command, print)
    order = (OrderPoint("a", 320.0, 0.0, 0.0, False), OrderPoint("b", 340.0, 1.0, 0.1, True, trusted=False))
    alert.scan_analysed(ScanSummary("a", "s1", 320.0, "heating", 1, order=order[:1]))
    alert.scan_analysed(
        ScanSummary("b", "s1", 340.0, "heating", 1, error="no peak", order=order, complete=True)
    )
    alert.close()
    told = sorted(path.read_text(encoding="utf-8").splitlines())
    assert told == [
        "s1: 340 K could not be analysed: no peak",
        "s1: finished, 2 temperatures analysed, 1 of them trusted",
    ]


def test_an_alert_command_is_checked_with_the_settings(tmp_path):
    given = {"VO2_DATA": str(tmp_path), "VO2_ALERT_COMMAND": "mail 'shift"}
    with pytest.raises(ValueError, match="alert_command is a program with its arguments"):
        load_settings(given)
    assert load_settings({**given, "VO2_ALERT_COMMAND": "mail -s vo2"}).alert_command == "mail -s vo2"


def test_each_session_has_a_log_of_its_own_that_only_its_user_reads(tmp_path):
    path, said = tmp_path / "session.log", []
    with session_log(path, said.append):
        logging.getLogger("vo2_plans.series").warning("first π")

    def session_that_ends():
        with session_log(path, said.append):
            logging.getLogger("elsewhere").warning("second")
            raise RuntimeError("ended")

    with pytest.raises(RuntimeError, match="ended"):
        session_that_ends()
    assert said == ["first π"]
    assert "first π" in (tmp_path / "session.log.1").read_text(encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    assert "second" in text
    assert "RuntimeError: ended" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_session_tells_of_beam_loss_failure_and_finish(own_settings, make_session, pager):
    command, path = pager
    session = make_session(own_settings, alert_command=command)
    session.RE(session.temperature_series([320.0, 333.0], WINDOW, locate=False))
    session.drain()
    session._suspended("ring current below 150 mA", True, True)
    session._suspended("ring current below 150 mA", False, True)
    session.failed("SoakError: the heater is off")
    session.close()
    told = path.read_text(encoding="utf-8")
    for word in (
        "333 K could not be analysed: this temperature",
        "no beam, ring current",
        "finished",
        "heater",
    ):
        assert word in told, told
    shown = session.view.console.file.getvalue()
    assert shown.count(f"details: {session.settings.log}") == 2  # the scan's failure and the plan's
    uid = session.shift_log.series
    log = (session.settings.series_folder(uid) / "shift-log.md").read_text(encoding="utf-8")
    for word in (
        "2 temperatures (320, 333 K); SIMULATED",
        "decided: transmission",
        "**not analysed**: this temperature always fails",
        "**suspended**: ring current below 150 mA",
        "the condition has passed",
        "**failure**: SoakError",
        "**end** of the session",
    ):
        assert word in log, log
