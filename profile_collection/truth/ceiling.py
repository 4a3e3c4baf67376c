"""The ceiling of a reconstruction: what the same data give to a start from the truth. Kept, for it costs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis.phasing.ambiguities import align
from analysis.phasing.reconstruction import from_truth
from analysis.results import ScanResult, replacing
from profile_collection.truth.compare import series_of, true_fields

logger = logging.getLogger(__name__)

KEPT = "truth_ceilings.json"
"""In the series' folder of results; removed, the ceilings are computed again."""


def ceilings(
    results: Path, truth: Path, *, progress: Callable[[str], None] = lambda label: None
) -> dict[str, float]:
    """Return the overlap with the truth that each scan of a series allows, by run uid.

    Parameters
    ----------
    results, truth : Path
        As for `compare_with_truth`.
    progress : callable
        Called with the label of each temperature before it is computed.
    """
    path = results / KEPT
    kept: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    found = {}
    for scan in series_of(results)[1]:
        if kept.get(scan.run_uid, {}).get("of") != _identity(scan):
            progress(scan.label)
            kept[scan.run_uid] = {"of": _identity(scan), "overlap": ceiling_of(scan, truth)}
            _keep(path, kept)
        found[scan.run_uid] = float(kept[scan.run_uid]["overlap"])
    return found


def ceiling_of(scan: ScanResult, truth: Path) -> float:
    """Return the overlap with the truth of what a start from the truth makes of a scan's stored data."""
    true = true_fields(scan, truth)["monoclinic"]
    best = from_truth(
        scan.intensity, true, scan.mask, pixel_kernel=scan.pixel_kernel, background=scan.background
    )
    return float(align(best.object, true).overlap)


def _identity(scan: ScanResult) -> list[Any]:
    """Return what a ceiling depends on."""
    return [list(scan.parameters["crop_origin"]), list(scan.object.shape), version("vo2-bcdi")]


def _keep(path: Path, values: dict[str, Any]) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=1) + "\n")
    except OSError as error:
        logger.warning("the ceilings cannot be kept in %s: %s", path, error)
