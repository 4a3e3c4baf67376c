"""A tiny twin, milliseconds per frame, and a RunEngine that keeps and validates its documents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from event_model import DocumentNames, schema_validators

from profile_collection.devices.beamline import Beamline
from profile_collection.devices.simulated.beamline import make_simulated
from profile_collection.twin import Clock, CrystalConfig, DetectorConfig, Twin, TwinConfig

TINY = TwinConfig(
    crystal=CrystalConfig(
        size=(500, 500, 500), pitch=(12.5, 12.5, 12.5), correlation_length=200, domain_length=150
    ),
    detector=DetectorConfig(roi=(96, 160, 96, 160), quadrature=1),
    threads=1,
)


@pytest.fixture
def make_beamline(tmp_path: Path) -> Callable[..., Beamline]:
    def make(pace: float = float("inf")) -> Beamline:
        twin = Twin(TINY, Clock(pace))
        twin.set_axis("delta", 25.1079)  # puts the peak on the region that is read out
        twin.set_axis("gam", 0.3428)
        beamline = make_simulated(twin, tmp_path / "data")
        beamline.twin = twin  # type: ignore[attr-defined]  # for the tests' own look behind the scenes
        return beamline

    return make


@pytest.fixture
def beamline(make_beamline: Callable[..., Beamline]) -> Beamline:
    return make_beamline()


class Documents(list[tuple[str, dict[str, Any]]]):
    def of(self, name: str) -> list[dict[str, Any]]:
        return [document for kind, document in self if kind == name]

    def events(self, stream: str = "primary") -> list[dict[str, Any]]:
        descriptors = {d["uid"] for d in self.of("descriptor") if d["name"] == stream}
        return [event for event in self.of("event") if event["descriptor"] in descriptors]


@pytest.fixture
def documents() -> Documents:
    return Documents()


@pytest.fixture
def engine(documents: Documents) -> RunEngine:
    engine = RunEngine({}, context_managers=[])

    def keep(name: str, document: dict[str, Any]) -> None:
        schema_validators[DocumentNames[name]].validate(document)
        documents.append((name, document))

    engine.subscribe(keep)
    return engine
