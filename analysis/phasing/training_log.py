"""The loss log of a training run, and its curve."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from analysis.phasing.evaluation import Scores

COLUMNS = ("step", "cpu_seconds", "learning_rate", "loss", "overlap", "chi_squared", "found")


class TrainingLog:
    """Appends a row per step to `loss.csv`; rows after the step a run resumes from are dropped."""

    def __init__(self, folder: Path, first_step: int):
        self.path = folder / "loss.csv"
        rows = [row for row in read_log(self.path) if int(row["step"]) <= first_step]
        self._before = float(rows[-1]["cpu_seconds"]) if rows else 0.0
        self._start = time.process_time()
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def write(self, step: int, rate: float, loss: float, scores: Scores | None) -> None:
        """Append one step; validation columns stay empty where nothing was validated."""
        seconds = self._before + time.process_time() - self._start
        row = [step, f"{seconds:.1f}", f"{rate:.3e}", f"{loss:.5f}"]
        row += (
            ["", "", ""]
            if scores is None
            else [f"{x:.4f}" for x in (scores.overlap, scores.chi_squared, scores.found)]
        )
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)

    def draw(self) -> None:
        """Training loss (mean of 50 steps) and held-out overlap against the step, as `loss.png`."""
        import matplotlib.pyplot as plt
        import numpy as np

        rows = read_log(self.path)
        steps = np.array([int(row["step"]) for row in rows])
        loss = np.array([float(row["loss"]) for row in rows])
        held = [(int(row["step"]), float(row["overlap"])) for row in rows if row["overlap"]]
        width = max(1, min(50, len(loss)))
        figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
        axis.plot(
            steps[width - 1 :], np.convolve(loss, np.ones(width) / width, "valid"), label="training loss"
        )
        if held:
            axis.plot(*zip(*held, strict=True), "o-", markersize=3, label="held-out overlap")
        axis.set(xlabel="step", ylabel="loss, overlap")
        axis.legend(frameon=False)
        figure.savefig(self.path.with_suffix(".png"), dpi=120)
        plt.close(figure)


def read_log(path: Path) -> list[dict[str, str]]:
    """Rows of a loss log; none where there is no log yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
