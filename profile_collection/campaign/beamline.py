"""The small beamline of a campaign: as little as honesty allows, so that many series fit into an hour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from profile_collection.campaign.kinds import POINTS
from profile_collection.settings import Settings
from profile_collection.twin import CrystalConfig, DetectorConfig, TwinConfig

REGION = (96, 160, 96, 160)
"""Rows and columns read out: 64 × 64 about the centre of a chip."""
CROP = (48, 48, 48)
"""Voxels that are phased."""
ARM = {"delta": 25.1079, "gam": 0.3428}
"""Where the detector arm puts the Bragg peak on the region, degrees."""
STEP = 0.01

WINDOW: dict[str, Any] = {
    "eta_start": round(17.8 - STEP * (POINTS // 2), 4),
    "eta_stop": round(17.8 + STEP * (POINTS - POINTS // 2 - 1), 4),
    "eta_step": STEP,
    "exposure": 30.0,
    "locate": False,
}
"""The rocking scan; the peak is followed, not searched for."""


def campaign_twin(settings: Settings) -> TwinConfig:
    """Return a crystal of half the usual size on a small region of the detector, whatever is set."""
    return TwinConfig(
        crystal=CrystalConfig(size=(700.0, 900.0, 900.0), pitch=(12.5, 12.5, 12.5)),
        detector=DetectorConfig(roi=REGION),
        threads=1,
    )


def campaign_settings(folder: Path, seed: int) -> Settings:
    """Return the settings of the acquisition process."""
    return Settings(data=folder / "data", results=folder / "results", seed=seed)
