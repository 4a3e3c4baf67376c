"""A locale that is not UTF-8: everything is read, written and printed as in any other."""

import os
import shutil
import subprocess
import sys

import pytest

CODE = """
import sys
from callbacks.live import make_console
from profile_collection.devices.simulated.beamline import make_simulated
from profile_collection.twin import Twin

print(sys.stdout.encoding.lower().replace("-", ""))
beamline = make_simulated(Twin(), "data")
print(beamline.diffractometer.core.solver.geometry)
make_console().print("χ² 0.01 … O ± 2 µm")
"""


@pytest.fixture(scope="module")
def latin(tmp_path_factory):
    """Return the environment of somebody whose locale is en_GB in ISO-8859-1."""
    folder = tmp_path_factory.mktemp("locale")
    if (program := shutil.which("localedef")) is None:
        pytest.skip("no localedef here that could make an ISO-8859-1 locale")
    made = subprocess.run(
        [program, "-i", "en_GB", "-f", "ISO-8859-1", str(folder / "en_GB")], capture_output=True, check=False
    )
    if not (folder / "en_GB").is_dir():
        pytest.skip(f"localedef made no ISO-8859-1 locale: {made.stderr.decode(errors='replace')}")
    return {"LOCPATH": str(folder), "LC_ALL": "en_GB", "PYTHONUTF8": "0"}


def says(environment, folder):
    (folder / "program.py").write_text(CODE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True,
        check=False,
        timeout=120,
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "LANG"} | environment,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout.decode("latin1").splitlines()


def test_the_diffractometer_and_the_console_take_no_notice_of_an_iso_8859_1_locale(latin, tmp_path):
    assert says(latin, tmp_path) == ["iso88591", "psic", "?² 0.01 ? O ± 2 µm"]


def test_nor_of_plain_ascii(tmp_path):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    _, geometry, line, *_ = says(environment, tmp_path)
    assert geometry == "psic"
    assert "0.01" in line
