"""The script that is prepared for an accelerator: without one, on the CPU, and with torch and numpy alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"

ALONE = f"""
import runpy, sys
for name in ("scipy", "threadpoolctl", "safetensors", "typer", "tqdm"):
    sys.modules[name] = None  # as if it were not installed
sys.argv = ["gpu.py", "--device", "cpu", "--small"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


def run(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_without_an_accelerator_it_says_so():
    done = run(str(SCRIPT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no accelerator: torch finds no CUDA device")


@pytest.mark.slow
def test_torch_and_numpy_are_enough_and_results_are_equal():
    done = run("-c", ALONE)
    assert done.returncode == 0, done.stderr
    assert "16³" in done.stdout
    assert "32³" in done.stdout
    assert "training steps a second" in done.stdout
    assert done.stdout.rstrip().endswith("results equal to the CPU's")


@pytest.mark.slow
def test_another_result_on_the_device_is_an_error():
    spoiled = (
        "import runpy, sys\n"
        "import torch\n"
        "sys.argv = ['gpu.py', '--device', 'cpu', '--small']\n"
        f"script = runpy.run_path({str(SCRIPT)!r})\n"
        "turn = []\n"
        "plain = script['phase_on']\n"
        "def spoil(*given):\n"
        "    found, *rest = plain(*given)\n"
        "    turn.append(1)\n"
        "    return (found * (1.1 if len(turn) == 1 else 1), *rest)\n"
        "script['main'].__globals__['phase_on'] = spoil\n"
        "sys.exit(script['main']())\n"
    )
    done = run("-c", spoiled)
    assert done.returncode == 1, done.stderr
    assert "results DIFFER from the CPU's" in done.stdout
