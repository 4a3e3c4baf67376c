"""Sessions as processes of their own, in temporary folders, ended with their servers."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

from profile_collection.catalogue.client import stop_server
from profile_collection.session.settings import Settings

FAKE_ANALYSIS = '''
"""Stands in for the analysis where that is not the subject."""

import os
import time
from pathlib import Path

from callbacks.frames import read_frames
from callbacks.jobs import OrderPoint, ScanSummary
from callbacks.worker import published


def analyse(job, address=None):
    frames = read_frames(job.frame_file, job.dataset, job.frame_index)
    time.sleep(float(os.environ.get("VO2_TEST_ANALYSIS_SECONDS", "0")))
    kelvin = float(job.start["temperature_setpoint"])
    order = (OrderPoint(job.run_uid, kelvin, float(frames.sum()), 0.0, False),)
    names = job.run_uid, job.series_uid
    summary = ScanSummary(*names, kelvin, "heating", 1, kelvin, 0.01, 1.0, 2e-4, order, True)
    return published(job, summary, address, {})
'''


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Return settings and environment of a quick session with a stand-in for the analysis; end its server."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "vo2_fake_analysis.py").write_text(FAKE_ANALYSIS)
    settings = Settings(
        data=folder / "data",
        results=folder / "results",
        quick=True,
        analysis="vo2_fake_analysis:analyse",
        transfer_epochs=0,
    )
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **settings.environment(), "PYTHONPATH": path, "TERM": "dumb"}
    yield settings, environment
    with contextlib.suppress(Exception):
        stop_server(settings.data)


@pytest.fixture(scope="session")
def programs():
    """Return the folder of this environment's programs."""
    return Path(sys.executable).parent
