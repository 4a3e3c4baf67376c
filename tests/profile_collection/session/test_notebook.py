"""The notebook of the documentation, executed by a real kernel."""

import os
from pathlib import Path

import pytest

import profile_collection
from profile_collection.session.prompt import start

ROOT = Path(profile_collection.__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebooks" / "series.ipynb"
SHORT = (
    'asked = {"temperatures": [320.0], "eta_start": 17.78, "eta_stop": 17.82, "eta_step": 0.02, '
    '"exposure": 1.0, "locate": False, "pre_expose": False}'
)
ANALYSIS = '''
"""Stands in for the analysis: a table and a figure, which are the subject."""

from callbacks.jobs import ScanSummary


def analyse(job, address=None):
    kelvin = float(job.start["temperature_setpoint"])
    (job.folder / "figures").mkdir(parents=True, exist_ok=True)
    (job.folder / "figures" / "order_parameter.png").write_bytes(b"png")
    text = f"setpoint_K,branch,order_parameter_rad,trusted\\n{kelvin},heating,-12.34567,True\\n"
    (job.folder / "order_parameter.csv").write_text(text, encoding="utf-8")
    return ScanSummary(job.run_uid, job.series_uid, kelvin, "heating", 1, complete=True)
'''


@pytest.mark.slow
def test_a_notebook_does_what_the_prompt_does(own_settings, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    (tmp_path / "vo2_notebook_analysis.py").write_text(ANALYSIS, encoding="utf-8")
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert all(not cell.get("outputs") for cell in book.cells)  # what is stored is the recipe alone
    parameters = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters[0].source = SHORT
    environment = {
        **os.environ,
        **own_settings.environment(),
        "VO2_QUICK": "1",
        "VO2_ANALYSIS": "vo2_notebook_analysis:analyse",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
    }
    client = nbclient.NotebookClient(book, timeout=500, kernel_name="python3", allow_errors=True)
    client.execute(env=environment, cwd=str(tmp_path))
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    errors = ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
    assert errors == []
    said = "".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs
    )
    for word in ("SIMULATED", "in work or waiting", "heated_stage", "seq_num", "3 points"):
        assert word in said, said[-3000:]
    shown = "".join(str(output.get("data", {}).get("text/html", "")) for output in outputs)
    assert "-12.35" in shown
    assert "data:image/png;base64" in shown
    assert "merlin_total" in shown  # databroker's table


def test_outside_of_a_notebook_it_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"use open_session\(\)"):
        start()
