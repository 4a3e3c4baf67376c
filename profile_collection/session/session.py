"""The session: the only place where devices, storage, plans and callbacks are put together."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import logging
import multiprocessing.util
import threading
from collections.abc import Callable, MutableMapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky import RunEngine

import vo2_plans
from callbacks.catalogue import Catalogue
from callbacks.jobs import Listeners, OrderPoint
from callbacks.journal.reingest import report
from callbacks.live import LiveView, make_console
from callbacks.pipeline import Pipeline, PipelineSettings
from callbacks.shift_log import ShiftLog
from profile_collection.catalogue.client import ServerError, check_writable
from profile_collection.devices.beamline import Beamline
from profile_collection.session import stored_runs
from profile_collection.session.alert import Alert
from profile_collection.session.hardware import close_shutter, connect_beamline
from profile_collection.session.monitor_process import MonitorError, ensure_monitor
from profile_collection.session.published_early import PublishedEarly, require_early_results
from profile_collection.session.resuming import (
    LAST,
    PublishedOrder,
    analyse_rest,
    fixed_by_decisions,
    left_undone,
    plan_of_rest,
    series_progress,
)
from profile_collection.session.session_log import session_log
from profile_collection.session.settings import Settings, early_rule, epochs_of_transfer, load_settings
from profile_collection.session.simulation import described, window_of
from profile_collection.session.startup_checks import StartupError, check_start, require_results, take_lock
from profile_collection.session.storage import (
    TruthRecorder,
    document_writer,
    facade,
    open_catalogue,
    persistent_metadata,
    pipeline_settings,
    store_kept,
)
from profile_collection.session.suspenders import BEAM_SETTLES, install_suspenders
from profile_collection.session.waiting import HearingTask
from vo2_plans import AdaptiveSettings, EtaWindow, SeriesProgress
from vo2_plans.steering import Steering, all_but, place_of

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from profile_collection.twin import Twin

logger = logging.getLogger(__name__)


REVIVAL_TIME = 60.0
"""Seconds that the end of a session gives a catalogue that is coming up again."""


class Session:
    """One acquisition session; `open_session` makes it.

    Parameters
    ----------
    settings
        Its configuration.
    view
        Shows what happens.
    make_executor
        Makes the executor of the analysis; one spawned process by default.

    Attributes
    ----------
    experiment
        What is measured where nothing else is asked for.
    steering
        What is to be changed of the series that runs.
    shift_log, alert, listeners
        What is kept for the e-log, who is told where nobody watches, and both with the view.
    catalogue
        Both halves of the catalogue.
    db
        databroker's facade over the measurements: ``db[-1]`` is the last one.
    twin, beamline
        The simulation, if it runs in this process, and the devices.
    RE
        The RunEngine.
    pipeline
        The live analysis.
    """

    def __init__(
        self, settings: Settings, view: LiveView, make_executor: Callable[[], Executor] | None = None
    ) -> None:
        self.settings = settings
        self.view = view
        self.view.log = settings.log
        self.shift_log = ShiftLog(settings.series_folder)
        self.alert = Alert(settings.alert_command, view.warn)
        self.listeners = Listeners(view, self.shift_log, self.alert)
        self._make_executor = make_executor
        self._stack = contextlib.ExitStack()
        self._closed = False
        self.steering = Steering()
        self.experiment = described(settings)
        with contextlib.ExitStack() as undo:  # whatever fails below gives back what was taken above it
            check_writable(settings.data)
            require_results(settings.results)
            take_lock(settings.data, undo)
            undo.enter_context(session_log(settings.log, self.listeners.warn))
            undo.callback(self.alert.close)
            undo.callback(self.shift_log.close)
            self.catalogue: Catalogue = open_catalogue(settings)
            undo.callback(self.catalogue.close)
            self.twin: Twin | None
            self.beamline: Beamline
            self.twin, self.beamline = connect_beamline(settings, self._identity(), undo)
            self.pipeline = Pipeline(self._pipeline_settings(), self.listeners, make_executor)
            undo.callback(self.pipeline.close)
            metadata = persistent_metadata(settings.private / "md", self.catalogue, view.warn)
            undo.callback(metadata.close)
            self.writer = document_writer(self.catalogue, settings, warn=self.listeners.warn, say=view.say)
            undo.callback(self.writer.close)
            self.RE = self._make_run_engine(metadata)
            undo.callback(self.RE.clear_suspenders)
            self.db = facade(self.catalogue)
            self._early = PublishedEarly(self.catalogue.address)
            undo.callback(self._early.close)
            self._stack = undo.pop_all()

    # -- putting together --------------------------------------------------------------------------------

    def _identity(self) -> dict[str, str]:
        """Return who measures what, with which software, for every start document."""
        settings = self.settings
        return {
            "sample": settings.sample or self.experiment.sample.name,
            "proposal": settings.proposal,
            "operator": settings.operator,
            "software_version": importlib.metadata.version("vo2-bcdi"),
        }

    def _pipeline_settings(self) -> PipelineSettings:
        usual, settings = pipeline_settings(self.catalogue, self.settings), self.settings
        return dataclasses.replace(
            usual, live=True, early=early_rule(settings), epochs=epochs_of_transfer(settings)
        )

    def _make_run_engine(self, metadata: MutableMapping[str, Any]) -> RunEngine:
        """Return the RunEngine with its documents going to catalogue, analysis and views."""
        settings = self.settings
        engine: Any = RunEngine(
            metadata,  # type: ignore[arg-type]
            md_validator=check_start,
            during_task=HearingTask(),
        )
        engine.subscribe(self.writer)
        if self.twin is not None:
            engine.subscribe(TruthRecorder(self.twin.write_truth, settings.data / "truth"))
        for callback in (self.view, self.shift_log, self.pipeline.collector):
            engine.subscribe(callback)
        engine.state_hook = self._state_changed
        settle = BEAM_SETTLES if settings.realtime else 0.0
        install_suspenders(engine, self.beamline, settle=settle, told=self._suspended)
        return engine

    # -- use ---------------------------------------------------------------------------------------------

    def temperature_series(
        self,
        temperatures: vo2_plans.Temperatures | None = None,
        window: EtaWindow | None = None,
        *,
        until: str | None = None,
        resume: str | int | None = None,
        **options: Any,
    ) -> MsgGenerator[Any]:
        """Return the plan of a series on this session's devices, or of what is left of a stored one.

        Parameters
        ----------
        temperatures, window
            K, and the rocking curve; the session's own where not given.
        until, **options
            As for `vo2_plans.temperature_series`: locate, pre_expose, guard, rest, undersampled.
        resume
            Uid of the series to go on with, -1 for the last; it keeps its own arguments.

        Raises
        ------
        ValueError
            Other arguments came with `resume`.
        UnknownRunError
            No such series is stored.
        """
        self.steering.clear()
        if resume is None:
            return vo2_plans.temperature_series(
                self.beamline,
                self.experiment.temperatures if temperatures is None else temperatures,
                window or window_of(self.experiment),
                steering=self.steering,
                until=until,
                early=None if until is None else self._early_of(until),
                **options,
            )
        others = [temperatures is not None, window is not None, until is not None]
        if any(others) or any(options.get(name) for name in ("guard", "rest", "undersampled")):
            raise ValueError(
                "a resumed series keeps its own temperatures, rocking curve and rules: resume is given "
                "alone, other arguments came too; leave them out"
            )
        progress = self.resume(vo2_plans.series_name(resume))
        return self._go_on(progress)

    def adaptive_temperature_series(
        self,
        asked: AdaptiveSettings | None = None,
        window: EtaWindow | None = None,
        *,
        until: str | None = None,
        **options: Any,
    ) -> MsgGenerator[Any]:
        """Return the plan of a series that chooses its temperatures from the results published so far.

        It is gone on with as any other: ``temperature_series(resume=-1)``.

        Parameters
        ----------
        asked
            Range, steps, beam time; the experiment's range, where not given.
        window, until, **options
            As for `temperature_series`.
        """
        self.steering.clear()
        kelvin = self.experiment.temperatures
        return vo2_plans.adaptive_temperature_series(
            self.beamline,
            asked or AdaptiveSettings(min(kelvin), max(kelvin)),
            window or window_of(self.experiment),
            reader=PublishedOrder(self.settings.series_folder),
            steering=self.steering,
            until=until,
            early=self._early_of(until),
            **options,
        )

    def rocking_scan(
        self, window: EtaWindow | None = None, *, until: str | None = None, rest: bool = False
    ) -> MsgGenerator[Any]:
        """Return the plan of one rocking scan at the present temperature; see `vo2_plans.rocking_scan`."""
        return vo2_plans.rocking_scan(
            self.beamline,
            window or window_of(self.experiment),
            until=until,
            early=self._early_of(until),
            rest=rest,
        )

    def _early_of(self, until: Any) -> PublishedEarly | None:
        """Return who tells a plan of early results, if a scan may end by them."""
        if until is None:
            return None
        require_early_results(self.settings, self.view.warn)
        return self._early

    def retake(self, temperature: float) -> MsgGenerator[Any]:
        """Return the plan that measures one temperature (K) of the last series as its next attempt."""
        progress = fixed_by_decisions(self.resume(LAST))
        temperatures = vo2_plans.call_of(progress.arguments)["temperatures"]
        place = place_of(temperature, temperatures)
        self.steering.clear()
        others = all_but(place, progress.complete, len(temperatures))
        return self._go_on(dataclasses.replace(progress, complete=others))

    def _go_on(self, progress: SeriesProgress) -> MsgGenerator[Any]:
        return plan_of_rest(
            self.beamline,
            progress,
            reader=PublishedOrder(self.settings.series_folder),
            early=self._early_of(progress.arguments.get("until")),
            steering=self.steering,
        )

    def replay(self, which: Any = -1, output: Path | None = None) -> tuple[OrderPoint, ...]:
        """Send stored runs through the live path again and return the order parameter.

        Parameters
        ----------
        which
            Uid of a series, -1 for the last one, a run (``db[-1]``) or its uid.
        output
            Folder of the results; ``results/<series>/replay`` by default.
        """
        return stored_runs.replay(
            self.catalogue, self.settings, self.view, which, output, make_executor=self._make_executor
        )

    def resume(self, series_uid: str) -> SeriesProgress:
        """Return how far a stored series has come; what of it was left unanalysed is analysed now."""
        progress = series_progress(self.catalogue, series_uid)
        if count := analyse_rest(self.catalogue, self.pipeline, progress.series_uid):
            self.view.say(f"{count} scans of {progress.series_uid} were measured and are analysed now")
        return progress

    def remarks(self) -> list[str]:
        """Return what earlier sessions left undone, with the command that does it."""
        return left_undone(self.catalogue)

    def catch_up(self) -> None:
        """Store what the catalogue missed while it did not answer."""
        report(store_kept(self.catalogue, self.settings), say=self.view.say, warn=self.view.warn)

    def show_monitor(self) -> None:
        """Start the monitor where none runs, and print its address; the measurement does without it."""
        try:
            self.view.say(f"monitor: {ensure_monitor(self.settings).address}")
        except (MonitorError, OSError) as error:
            self.view.warn(str(error))

    def failed(self, message: str) -> None:
        """Tell everybody of a failure: the screen, the shift log, and whoever is alerted."""
        self.view.fail(message)
        self.shift_log.note(f"**failure**: {message}")
        self.alert(message)

    def _state_changed(self, new: str, old: str) -> None:
        """Take a new state of the RunEngine."""
        self.view.state_changed(new, old)
        self.shift_log.state_changed(new, old)

    def _suspended(self, reason: str, begins: bool, no_beam: bool) -> None:
        """Note a suspension; people are alerted where the beam is lost."""
        self.shift_log.note(f"**suspended**: {reason}" if begins else f"the condition has passed: {reason}")
        if begins and no_beam:
            self.alert(f"{self.shift_log.series}: no beam, {reason}".removeprefix(": "))

    def drain(self) -> None:
        """Wait for the analysis, showing what is left; Ctrl-C leaves the rest for another session."""
        if left := self.pipeline.queue.backlog:
            self.view.say(
                f"waiting for {left} jobs of the analysis, transfer learning included (Ctrl-C leaves them: "
                "vo2 replay --pending, vo2 transfer)"
            )
        self.pipeline.finish(tick=self.view.waiting)

    def close(self) -> None:
        """Close the shutter, finish the analysis, give everything back; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self.RE.state == "paused":
            self.RE.abort("the session was closed")
        close_shutter(self.beamline, self.view.fail)
        try:
            self.drain()
            if self.writer.wait_for_revival(REVIVAL_TIME):
                self.catch_up()
        except KeyboardInterrupt:
            self.view.warn("the analysis is left for another session: vo2 replay --pending")
        finally:
            self._stack.close()


def open_session(
    settings: Settings | None = None,
    *,
    view: LiveView | None = None,
    make_executor: Callable[[], Executor] | None = None,
    **given: Any,
) -> Session:
    """Return the session of this process, closed when the process ends.

    Parameters
    ----------
    settings
        Its configuration; from the environment by default, with `given` on top.
    view, make_executor
        Stand-ins for the terminal and the worker process.
    **given
        Fields of `Settings`.

    Raises
    ------
    StartupError
        In one line: why not, and what to do.
    """
    try:
        settings = settings.changed(**given) if settings else load_settings(**given)
        session = Session(settings, view or LiveView(make_console()), make_executor)
    except StartupError:
        raise
    except (ServerError, ConnectionError) as error:
        raise StartupError(str(error), "then start again") from error
    except Exception as error:
        log = f"see {settings.log}, " if settings else ""
        raise StartupError(f"{type(error).__name__}: {error}", f"{log}correct it, start again") from error
    session.pipeline.queue.start()
    # The executor's own exit hook waits for its workers in silence and runs before atexit's; ours is earlier.
    threading._register_atexit(session.close)  # type: ignore[attr-defined]  # noqa: SLF001
    # The queue server's worker, a process of multiprocessing, waits for its children before either hook.
    multiprocessing.util.Finalize(None, session.close, exitpriority=100)
    if settings.monitor:
        session.show_monitor()
    session.catch_up()
    for remark in session.remarks():
        session.view.warn(remark)
    return session
