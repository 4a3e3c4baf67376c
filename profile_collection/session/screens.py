"""What a person reads of a session at the prompt: the banner at its start, and its state on one screen."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from callbacks.catalogue import UnknownRunError, last_series
from callbacks.queue import PendingRecord
from profile_collection.session.monitor_process import monitor_status

if TYPE_CHECKING:
    from profile_collection.session.session import Session

AXES = ("eta", "delta", "gam", "mu", "chi", "phi")
"""Axes that ``%wa`` lists, by which ``%mov eta 17.5`` knows them."""


def banner(session: Session) -> Panel:
    """Return what a session says of itself at its start."""
    settings, table = session.settings, _facts()
    simulated = session.beamline.simulated
    title = Text(" SIMULATED ", "bold white on blue") if simulated else Text(" REAL ", "bold white on red")
    note = "no photon is real" if simulated else "motors, heater and shutter move"
    table.add_row("beamline", Text.assemble(title, f"  {note}"))
    table.add_row("proposal", escape(f"{settings.proposal}, {settings.operator}"))
    table.add_row("sample", escape(settings.sample or session.experiment.sample.name))
    table.add_row("data", escape(f"{settings.data}, {free_space(settings.data)}"))
    table.add_row("catalogue", escape(session.catalogue.address.uri))
    if (monitor := monitor_status(settings)) is not None:
        table.add_row("monitor", escape(monitor.address))
    table.add_row("last series", escape(_last(session)))
    left = len(session.remarks())  # the session has just printed them
    table.add_row("unfinished", Text(f"{left}, named above with what to do", "yellow") if left else "nothing")
    table.add_row("begin with", "RE(locate_reflection())   RE(temperature_series())   status()")
    return Panel(table, title="VO2 BCDI", title_align="left", box=box.ROUNDED, expand=False)


def status_screen(session: Session) -> Group:
    """Return the beamline and the analysis on one screen."""
    return Group(_beamline_table(session), _analysis_table(session))


def where_all(session: Session) -> Table:
    """Return positions and limits of the axes and of the sample's temperature."""
    table = Table("axis", "position", "low limit", "high limit", "", box=box.SIMPLE_HEAD)
    moved = [(getattr(session.beamline.diffractometer, name), "°") for name in AXES]
    for axis, unit in (*moved, (session.beamline.heated_stage, "K")):
        low, high = axis.limits
        table.add_row(axis.name, f"{float(axis.position):.4f}", f"{low:g}", f"{high:g}", unit)
    return table


def _beamline_table(session: Session) -> Table:
    beamline, table = session.beamline, _facts("beamline")
    stage, beam = beamline.heated_stage, beamline.beam
    table.add_row("RunEngine", str(session.RE.state))
    table.add_row("simulated", "yes" if beamline.simulated else Text("no", "bold red"))
    table.add_row("temperature", f"{_read(stage.Tsample):.2f} K, setpoint {float(stage.setpoint):.2f} K")
    table.add_row("ring current", f"{_read(beam.rc):.1f} mA")
    table.add_row("shutter", str(beam.shutter.position))
    table.add_row("transmission", f"{_read(beam.transmission):g}")
    table.add_row("energy", f"{float(beam.en.position):.4f} keV")
    axes = (f"{name} {float(getattr(beamline.diffractometer, name).position):.4f}°" for name in AXES)
    table.add_row("axes", "  ".join(axes))
    table.add_row("exposure", f"{_read(beamline.merlin.acquire_time):g} s")
    return table


def _analysis_table(session: Session) -> Table:
    settings, table = session.settings, _facts("analysis")
    summaries = session.pipeline.summaries
    failures = [summary for summary in summaries if summary.error]
    table.add_row("in work or waiting", str(session.pipeline.queue.backlog))
    table.add_row("analysed", f"{len(summaries) - len(failures)}, {len(failures)} failed")
    for failure in failures[-3:]:
        table.add_row("", Text(f"{failure.temperature_setpoint:g} K: {failure.error}", "red"))
    table.add_row("on record", f"{len(PendingRecord(settings.private / 'pending').uids())} not analysed yet")
    table.add_row("last series", escape(_last(session)))
    table.add_row("results", escape(str(settings.results)))
    table.add_row("data", escape(f"{settings.data}, {free_space(settings.data)}"))
    table.add_row("catalogue", escape(session.catalogue.address.uri))
    table.add_row("log", escape(str(settings.log)))
    return table


def _facts(title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    return table


def _read(signal: Any) -> float:
    return float(next(iter(signal.read().values()))["value"])


def free_space(folder: Path) -> str:
    """Return what is free on the disk of `folder`, in words."""
    return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free"


def _last(session: Session) -> str:
    try:
        return last_series(session.catalogue)
    except UnknownRunError:
        return "none yet"
