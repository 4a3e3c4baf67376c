"""What a session measures, and what the simulated beamline looks like for it."""

from __future__ import annotations

import dataclasses
import math

from analysis.experiment import Experiment, load_experiment
from analysis.geometry import instrument_named
from analysis.unit_cells import bragg_angle
from profile_collection.session.settings import Settings
from profile_collection.twin import Clock, Twin, TwinConfig
from vo2_plans import EtaWindow

BEGIN = 1_795_359_600.0
"""When simulated time begins, epoch seconds: fixed, so that a seed means the same drift on any day."""


def described(settings: Settings) -> Experiment:
    """Return the experiment of a session: that of its file, else the quick one, else the paper's.

    Raises
    ------
    ValueError
        It names no reflection, or an instrument that the analysis does not know.
    """
    found = load_experiment(settings.experiment or ("quick" if settings.quick else "paper"))
    if found.reflection is None:
        raise ValueError(f"the experiment {settings.experiment!r} must say which reflection is measured")
    instrument_named(found.instrument)
    return found


def window_of(experiment: Experiment) -> EtaWindow:
    """Return an experiment's rocking window as plans take it."""
    return EtaWindow.of(experiment.window.model_dump())


def changed_window(
    experiment: Experiment,
    start: float | None = None,
    stop: float | None = None,
    step: float | None = None,
    exposure: float | None = None,
) -> EtaWindow | None:
    """Return an experiment's window with what was asked for in its place; None where nothing was."""
    if (start, stop, step, exposure) == (None, None, None, None):
        return None
    return window_of(experiment).changed(start=start, stop=stop, step=step, exposure=exposure)


def twin_config(settings: Settings) -> TwinConfig:
    """Return the simulated beamline's configuration: the described crystal, mounted at the window's centre.

    The crystal goes through the transition of VO2 whatever is described (`profile_collection.twin.crystal`).
    """
    usual, experiment = TwinConfig(), described(settings)
    measured, other = experiment.reflection, experiment.counterpart
    crystal = usual.crystal
    if measured is not None:
        crystal = dataclasses.replace(crystal, lattice=measured.lattice, reflection=measured.hkl)
    theta = bragg_angle(crystal.d, experiment.energy)
    angles = (0.0, experiment.window.centre, 90.0, 0.0)
    return dataclasses.replace(
        usual,
        crystal=dataclasses.replace(
            crystal,
            size=experiment.sample.size_nm or crystal.size,
            counterpart_d=other.d_spacing if other else None,
            reference_temperature=experiment.reference_temperature,
        ),
        mount=dataclasses.replace(usual.mount, angles=angles, energy=experiment.energy, theta=theta),
        detector=dataclasses.replace(usual.detector, roi=experiment.region),
        beam=dataclasses.replace(usual.beam, energy=experiment.energy),
    )


def make_twin(settings: Settings) -> Twin:
    """Return the simulated beamline of a session, or of the soft IOC in its place."""
    clock = Clock(1.0 if settings.realtime else math.inf, start=BEGIN)
    return Twin(twin_config(settings), clock, settings.seed)
