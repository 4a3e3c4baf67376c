"""Commands of ``vo2`` about analysed series: report, export, repeat, reanalyse, transfer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profile_collection.cli.common import (
    DataOption,
    OverwriteOption,
    ResultsOption,
    TakesMinusOne,
    configured,
    console,
    explained,
    opened,
    output_folder,
    warn,
)

if TYPE_CHECKING:
    from analysis.results import ScanResult
    from callbacks.transfer import Learned

results_app = typer.Typer()

OutputOption = Annotated[Path | None, typer.Option(help="Folder to write into.", show_default=False)]


@results_app.command(cls=TakesMinusOne)
def report(
    series: Annotated[str, typer.Argument(help="Uid or folder of a series; -1 is the newest.")] = "-1",
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    results: ResultsOption = None,
) -> None:
    """Draw all figures of a series as PNG and PDF, and one HTML page with them and the tables."""
    from profile_collection.session.exporting import report_series, series_folder

    with explained():
        folder = series_folder(configured(None, results).results, series)
        goal = output_folder(output, overwrite=overwrite)
        with console.status("drawing"):
            written = report_series(folder, goal)
    for note in written.notes:
        console.print(f"[yellow]{note}[/]", highlight=False, soft_wrap=True)
    console.print(f"{len(written.figures)} files of figures; page: {written.page}", soft_wrap=True)


@results_app.command(cls=TakesMinusOne)
def export(
    target: Annotated[
        str, typer.Argument(help="A result file (.h5), or uid or folder of a series; -1 is the newest.")
    ] = "-1",
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            help="vti: cubic voxels along the laboratory axes; vts: the measured ones; npy: Bonsu. Of the "
            "measured frames: nexus, as I16 writes its own, or id01.",
        ),
    ] = "vti",
    percent: Annotated[
        float, typer.Option(help="Isosurface inside which strain and displacement are given.")
    ] = 95.0,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Export amplitude, phase, support, strain and displacement, or the frames as their beamline has them."""
    from callbacks.nexus_export import LAYOUTS
    from profile_collection.session.exporting import export_runs, export_target

    with explained(), console.status("exporting"):
        goal, settings = output_folder(output, overwrite=overwrite), configured(data, results)
        if kind in LAYOUTS:
            with opened(settings) as catalogue:
                paths = export_runs(catalogue, settings, target, kind, goal)
        else:
            paths = export_target(settings.results, target, kind, goal, percent)
    for path in paths:
        console.print(str(path), highlight=False, soft_wrap=True)


@results_app.command(cls=TakesMinusOne)
def repeat(
    series: Annotated[str, typer.Argument(help="Uid or folder of an analysed series; -1 is the newest.")],
    seeds: Annotated[str, typer.Option(help="Seeds of the phasing, with commas between.")] = "1,2",
    results: ResultsOption = None,
) -> None:
    """Phase a series again from other seeds; the spread becomes the order parameter's error."""
    from callbacks.analyse import repeat_series
    from profile_collection.session.exporting import series_folder

    with explained():
        chosen = parse_seeds(seeds)
        folder = series_folder(configured(None, results).results, series)
        with console.status("phasing again") as status:
            found = repeat_series(folder, chosen, progress=status.update)
    console.print("    T / K   O / rad   from the fit  bootstrap  over seeds  seeds", highlight=False)
    for n, label in enumerate(found.scans.labels):
        over = "–" if found.order.seeds[n] == 1 else f"{found.order.seed_spread[n]:.3f}"
        line = (
            f"{label:>9} {found.order.parameter[n]:9.2f} {found.fit.errors[n]:14.2f} "
            f"{found.order.bootstrap_error[n]:10.2f} {over:>11} {found.order.seeds[n]:6d}"
        )
        console.print(line, highlight=False, soft_wrap=True)


@results_app.command(cls=TakesMinusOne)
def reanalyse(
    series: Annotated[str, typer.Argument(help="Uid or folder of an analysed series; -1 is the newest.")],
    seeds: Annotated[int, typer.Option(min=2, help="Seeds that each scan is phased from.")] = 5,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Analyse a series again with more effort, beside the first analysis; a later call goes on."""
    from callbacks.reanalyse import finish, publish_reanalyses, reanalyse_series
    from profile_collection.session.exporting import series_folder

    with explained():
        settings = configured(data, results)
        folder = series_folder(settings.results, series)
        with console.status("phasing again") as status:

            def told(what: str, done: int, of: int) -> None:
                status.update(f"{what}, {done} of {of}")

            for made in reanalyse_series(folder, seeds, progress=told):
                verdict = (
                    "trusted" if made.result.trusted else f"not trusted: {'; '.join(made.result.reasons)}"
                )
                before = "trusted" if made.before.trusted else "not trusted"
                how = (
                    made.result.notes[-1] if made.fresh else f"analysis {made.result.analysis}: there already"
                )
                console.print(
                    f"{made.result.label:>9}  {before} before, now {verdict}; {how}",
                    highlight=False,
                    soft_wrap=True,
                )
            status.update("order parameter and figures")
            state = finish(folder)
        with opened(settings) as catalogue:
            remarks = publish_reanalyses(catalogue, folder, state)
    for remark in (*state.warnings, *remarks):
        warn(remark)
    console.print(f"results: {folder}, the first analysis stays in scans/", highlight=False, soft_wrap=True)


@results_app.command(cls=TakesMinusOne)
def transfer(
    series: Annotated[str, typer.Argument(help="Uid or folder of an analysed series; -1 is the newest.")],
    epochs: Annotated[int, typer.Option(min=1, help="Of each pattern; the paper shows 2000.")] = 2000,
    results: ResultsOption = None,
) -> None:
    """Fine-tune the network on each pattern of a series, as the paper does; curves and objects are stored."""
    from callbacks.transfer import draw_curves, transfer_series
    from profile_collection.session.exporting import series_folder

    with explained():
        folder, fresh = series_folder(configured(None, results).results, series), 0
        with console.status("transfer learning") as status:

            def told(scan: ScanResult, epoch: int, loss: float) -> None:
                status.update(f"{scan.label}: epoch {epoch} of {epochs}, L3 {loss:.4f}")

            for done in transfer_series(folder, epochs, progress=told):
                console.print(transfer_line(done), highlight=False, soft_wrap=True)
                fresh += done.fresh
        drawn = draw_curves(folder) if fresh else None
    also = "" if drawn is None else f"; drawn: {drawn}"
    console.print(f"{fresh} files written in {folder / 'scans'}{also}", highlight=False, soft_wrap=True)


def transfer_line(done: Learned) -> str:
    """Return what a scan's transfer learning came to, in one line."""
    scan, learned = done.scan, done.scan.transfer
    if learned is None:
        raise ValueError(f"{str(done.path)!r} holds no transfer learning")
    kind = f"in {learned.cpu_seconds:.0f} CPU s" if done.fresh else "there already"
    return (
        f"{scan.label:>9}  {learned.epochs} epochs {kind}: L3 {learned.loss_history[0]:.4f} to "
        f"{learned.final_loss:.4f} (the search's object {learned.search_loss:.4f}), "
        f"overlap with it {learned.overlaps[0]:.3f} to {learned.overlaps[-1]:.3f}; {done.path.name}"
    )


def parse_seeds(text: str) -> list[int]:
    """Return the seeds named in `text`.

    Raises
    ------
    ValueError
        One of them is no whole number of 0 or more, or there is none.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdigit() for word in words):
        raise ValueError(f"seeds are whole numbers of 0 or more with commas between, as '1,2'; {text!r} came")
    return [int(word) for word in words]
