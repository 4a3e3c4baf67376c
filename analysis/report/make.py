"""Writes a report: figures as PNG and PDF, tables as CSV, and one page that holds it all."""

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.figures import measure_morphology, save
from analysis.report.drawings import Drawing, drawings, make_galleries
from analysis.report.tables import Table, all_tables, verdict
from analysis.results import ScanResult, SeriesResult, replacing

logger = logging.getLogger(__name__)

PAGE = "report.html"


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    page : Path
        The HTML page; it needs no other file.
    figures : tuple of Path
        PNG and PDF files.
    notes : tuple of str
        What could not be done, in words.
    """

    page: Path
    figures: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def write_report(
    folder: Path,
    series: SeriesResult,
    results: Sequence[ScanResult],
    *,
    failures: Mapping[str, str] | None = None,
) -> Report:
    """Draw all figures of a series into ``folder`` and write the page about them.

    Parameters
    ----------
    folder : Path
    series : SeriesResult
    results : sequence of ScanResult
        At least those that the series counts.
    failures : mapping of str to str, optional
        Scans that could not be analysed, and why.
    """
    by_uid = {result.run_uid: result for result in results}
    missing = [
        label
        for label, uid in zip(series.scans.labels, series.scans.run_uids, strict=True)
        if uid not in by_uid
    ]
    if missing:
        raise ValueError(f"a report needs the result of every temperature; {missing!r} are not given")
    counted = [by_uid[uid] for uid in series.scans.run_uids]
    galleries = make_galleries(series)
    measured = measure_morphology(series, counted)
    shown: list[dict[str, str]] = []
    paths: list[Path] = []
    notes = [f"3D views by Matplotlib: {galleries.note}"] if galleries.note else []
    for one in drawings(series, counted, galleries, measured):
        try:
            files = _save(one, Path(folder))
        except Exception as error:  # one figure's failure must not lose the others
            level = logging.WARNING if isinstance(error, ValueError) else logging.ERROR
            logger.log(level, "figure %s not drawn: %s", one.name, error, exc_info=level == logging.ERROR)
            notes.append(f"{one.title}: not drawn, {error}")
            continue
        paths += files
        shown.append(
            {"name": one.name, "title": one.title, "caption": one.caption, "data": _embedded(files[0])}
        )
    tables = all_tables(series, counted, measured)
    for table in tables:
        table.write(Path(folder))
    page = _write_page(Path(folder) / PAGE, series, counted, shown, tables, notes, failures or {})
    return Report(page, tuple(paths), tuple(notes))


def _save(one: Drawing, folder: Path) -> list[Path]:
    figure = one.draw()
    return [save(figure, folder / f"{one.name}.{suffix}") for suffix in ("png", "pdf")]


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _write_page(
    path: Path,
    series: SeriesResult,
    results: Sequence[ScanResult],
    shown: list[dict[str, str]],
    tables: list[Table],
    notes: list[str],
    failures: Mapping[str, str],
) -> Path:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    text = environment.get_template("page.html").render(
        series=series,
        written=datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        facts=_facts(series, results),
        doubts=_doubts(series),
        remarks=[pair for pair in zip(series.scans.labels, series.scans.notes, strict=True) if pair[1]],
        notes=notes,
        failures=failures,
        figures=shown,
        tables=tables,
        runs=_runs(series, results),
        software=_software(results),
        settings=_settings(results),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _facts(series: SeriesResult, results: Sequence[ScanResult]) -> list[tuple[str, str]]:
    """Return what a reader wants to know first."""
    first = results[0]
    reflection = first.sample.get("reflection")
    parameters = first.parameters
    facts = [
        ("sample", str(first.sample.get("name", "")) or "–"),
        ("instrument", str(first.instrument.get("name", "")) or "–"),
        ("reflection", "(" + "".join(str(index) for index in reflection) + ")" if reflection else "–"),
        ("temperatures", f"{len(series)}" + (f" of {series.expected}" if series.expected else "")),
        ("trusted", f"{int(series.trusted.sum())} of {len(series)}"),
        ("reference", series.reference),
    ]
    for transition in series.fit.transitions:
        name = series.scans.leg_name(transition.leg)
        suffix = "" if name == "heating" else f", {name}"
        facts.append((f"transition{suffix}", f"{transition.t_c:.1f} ± {transition.t_c_error:.1f} K"))
    if "crop_shape" in parameters and "voxel_size_nm" in parameters:
        crop = " × ".join(str(size) for size in parameters["crop_shape"])
        voxel = " × ".join(f"{size:.0f}" for size in parameters["voxel_size_nm"])
        facts.append(("analysed crop", f"{crop}, voxels of {voxel} nm"))
    return facts


def _doubts(series: SeriesResult) -> list[tuple[str, str, str]]:
    """Return label, verdict and reasons of every temperature that is not trusted."""
    return [
        (label, verdict(series, row), "; ".join(series.reasons[row]))
        for row, label in enumerate(series.scans.labels)
        if not series.trusted[row]
    ]


def _runs(series: SeriesResult, results: Sequence[ScanResult]) -> list[tuple[str, ...]]:
    return [
        (label, str(one.attempt), one.run_uid, str(one.seed), f"{one.seconds:.1f}")
        for label, one in zip(series.scans.labels, results, strict=True)
    ]


def _software(results: Sequence[ScanResult]) -> list[tuple[str, str]]:
    """Return program versions and weights; several where the scans differ."""
    names = list(dict.fromkeys(name for one in results for name in one.versions))
    found = [(name, {str(one.versions.get(name, "unknown")) for one in results}) for name in names]
    found.append(("weights (SHA-256)", {one.weights_hash for one in results}))
    return [(name, ", ".join(sorted(values))) for name, values in found]


def _settings(results: Sequence[ScanResult]) -> list[tuple[str, str]]:
    """Return the parameters of the analysis: one value where all scans share it, else their number."""
    names = list(dict.fromkeys(name for one in results for name in one.parameters))
    settings = []
    for name in names:
        values = list(dict.fromkeys(_plain(one.parameters.get(name)) for one in results))
        text = values[0] if len(values) == 1 else f"{values[0]} (first of {len(values)} values)"
        settings.append((name, text))
    return settings


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return str(value)
