"""Transfer learning on stored scans: the network fine-tuned on each pattern, stored in the scan's own file.

Nothing waits for it and nothing is judged by it; what it comes to is drawn (Fig 2b) and tabled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.figures import loss_curves, save
from analysis.order_parameter import counting
from analysis.phasing.config import DEFAULT, TransferConfig
from analysis.phasing.network.pretrained import load_pretrained
from analysis.phasing.network.transfer import Between, transfer
from analysis.phasing.pattern import checked_pattern
from analysis.results import ScanResult, Transfer, read_scan, write_scan
from callbacks.locks import alone
from callbacks.series import FIGURES, SCANS, series_lock

LOCK = ".transfer.lock"

Progress = Callable[[ScanResult, int, float], None]
"""Told the scan, the epoch that begins, and the loss before it."""


@dataclass(frozen=True)
class Learned:
    """A scan and what became of its transfer learning.

    Parameters
    ----------
    path
        The scan's file.
    scan
        As the file now has it.
    fresh
        False where the file held as many epochs already, and nothing was done.
    """

    path: Path
    scan: ScanResult
    fresh: bool


def transfer_series(
    folder: Path, epochs: int, *, progress: Progress = lambda scan, epoch, loss: None
) -> Iterator[Learned]:
    """Yield each scan of a series that counts, its file holding a transfer learning of ``epochs`` or more.

    A scan is stored as soon as it is done, so that a call which was interrupted goes on where it was.

    Parameters
    ----------
    folder : Path
        Results of the series.
    epochs : int
    progress : callable

    Raises
    ------
    RuntimeError
        Another process does the same; it is named.
    """
    with alone(folder / LOCK, "the transfer learning of this series runs already"):
        stored = {path: read_scan(path) for path in sorted((folder / SCANS).glob("*.h5"))}
        paths = {scan.run_uid: path for path, scan in stored.items()}
        config = replace(DEFAULT.transfer, epochs=epochs)
        for scan in counting(stored.values()):
            told = _told(progress, scan)
            yield learn_and_store(folder, paths[scan.run_uid], scan, config, told)


def learn_behind(folder: Path, path: Path, epochs: int) -> Learned:
    """Fine-tune on one scan of a series behind its result, and draw Fig 2b anew where there is one.

    Raises
    ------
    RuntimeError
        `transfer_series` is at work there, and does it.
    """
    with alone(folder / LOCK, "the transfer learning of this series runs already"):
        config = replace(DEFAULT.transfer, epochs=epochs)
        done = learn_and_store(folder, path, read_scan(path), config, lambda epoch, loss: None)
    if done.fresh:
        draw_curves(folder)
    return done


def _told(progress: Progress, scan: ScanResult) -> Between:
    return lambda epoch, loss: progress(scan, epoch, loss)


def learn_and_store(
    folder: Path, path: Path, scan: ScanResult, config: TransferConfig, between: Between
) -> Learned:
    """Fine-tune on one scan unless its file holds as much already, and store what it comes to.

    Raises
    ------
    RuntimeError
        The scan was analysed again meanwhile; what was learned belongs to no result any more.
    """
    if has_learned(scan, config.epochs):
        return Learned(path, scan, fresh=False)
    learned = learn(scan, config, between)
    with series_lock(folder):
        current = read_scan(path)
        if not np.array_equal(current.object, scan.object):
            raise RuntimeError(
                f"the scan {path.stem} was analysed again during its transfer learning, which is not stored: "
                f"run 'vo2 transfer {folder.name}'"
            )
        current = replace(current, transfer=learned)
        write_scan(path, current)
    return Learned(path, current, fresh=True)


def has_learned(scan: ScanResult, epochs: int) -> bool:
    """Return whether a scan holds a transfer learning of so many epochs, from the weights that ship."""
    return (
        scan.transfer is not None
        and scan.transfer.epochs >= epochs
        and scan.transfer.weights_hash == load_pretrained().hash
    )


def learn(scan: ScanResult, config: TransferConfig, between: Between) -> Transfer:
    """Return the transfer learning on a scan's pattern, as its search found blur and response."""
    pattern = checked_pattern(
        scan.intensity, scan.mask, scan.pixel_kernel, scan.background, scan.given_flat_field, scan.dark
    )
    response = None
    if scan.flat_field is not None or scan.exposure is not None:
        response = np.ones(scan.intensity.shape, np.float32)
        response *= 1 if scan.exposure is None else scan.exposure[:, None, None]
        response *= 1 if scan.flat_field is None else scan.flat_field
    return transfer(
        load_pretrained(),
        pattern,
        coherence=scan.coherence,
        response=response,
        reference=scan.object,
        seed=scan.seed,
        config=config,
        between=between,
    )


def draw_curves(folder: Path) -> Path | None:
    """Draw Fig 2b of a series anew into its figures; None where the series has none yet."""
    if not (folder / FIGURES).is_dir():
        return None
    with series_lock(folder):
        chosen = counting(read_scan(path) for path in (folder / SCANS).glob("*.h5"))
        return save(loss_curves(chosen), folder / FIGURES / "loss_curves.png")
