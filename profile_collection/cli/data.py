"""Commands of ``vo2`` about stored data: replay, recover, reconstruct, clean."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profile_collection.cli.common import (
    DataOption,
    OverwriteOption,
    ResultsOption,
    TakesMinusOne,
    as_file,
    configured,
    console,
    explained,
    opened,
    output_file,
    output_folder,
    series_or_run,
    warn,
)

if TYPE_CHECKING:
    from analysis import Reconstruction
    from callbacks.catalogue import Catalogue
    from callbacks.jobs import ScanJob
    from profile_collection.session.settings import Settings

data_app = typer.Typer()

FRAME_FILES = (".h5", ".hdf5", ".nxs")

OutputOption = Annotated[Path | None, typer.Option(help="Where to write.", show_default=False)]


@data_app.command(cls=TakesMinusOne)
def replay(
    which: Annotated[str, typer.Argument(help="Uid of a series or of a run; -1 is the last series.")] = "-1",
    pending: Annotated[bool, typer.Option("--pending", help="Analyse all that is not analysed yet.")] = False,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Send stored runs through the live path again; results go to results/<series>/replay."""
    from callbacks.live import LiveView
    from profile_collection.session import stored_runs

    with explained():
        settings = configured(data, results)
        goal, view = output_folder(output, overwrite=overwrite), LiveView(console)
        with opened(settings) as catalogue:
            if pending:
                count = stored_runs.analyse_pending(catalogue, settings, view)
                console.print(f"{count} scans were waiting")
                return
            order = stored_runs.replay(catalogue, settings, view, series_or_run(which), goal)
    for point in order:
        console.print(f"{point.temperature:g} K  O {point.value:.6f} ± {point.error:.6f}", highlight=False)


@data_app.command()
def recover(
    uid: Annotated[
        str | None, typer.Argument(help="Uid of the run, or its beginning.", show_default=False)
    ] = None,
    backup: Annotated[
        bool, typer.Option("--backup", help="Store all runs that the catalogue missed while it was down.")
    ] = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Complete a run from its frame file after a session was killed, or store the runs kept in the backup."""
    with explained():
        settings = configured(data, results)
        if (uid is None) != backup:
            raise ValueError("give the uid of a run, or --backup alone for the runs the catalogue missed")
        with opened(settings) as catalogue:
            if uid is None:
                _store_kept(catalogue, settings)
            else:
                _recover_run(catalogue, settings, uid)


def _recover_run(catalogue: Catalogue, settings: Settings, uid: str) -> None:
    from profile_collection.session.stored_runs import recover_run

    found = recover_run(catalogue, settings, uid)
    state = "complete" if found.complete else "not complete: measure it again as the next attempt"
    console.print(f"{found.uid}: {found.before} points in the catalogue before, {found.after} now; {state}")


def _store_kept(catalogue: Catalogue, settings: Settings) -> None:
    from profile_collection.session.storage import store_kept

    words = {
        "stored": "stored now",
        "known": "was in the catalogue already",
        "unfinished": "never ended; complete it: vo2 recover {uid}",
        "failed": "not stored: {reason}",
    }
    found = store_kept(catalogue, settings)
    for one in found:
        console.print(f"{one.uid}: {words[one.outcome].format(uid=one.uid[:8], reason=one.reason)}")
    if not found:
        console.print("nothing is kept: the catalogue has every run")
    if any(one.outcome == "failed" for one in found):
        raise typer.Exit(1)


@data_app.command()
def reconstruct(
    target: Annotated[str, typer.Argument(help="Uid of a stored run, a frame file (.h5), or an npz file.")],
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    seed: Annotated[int, typer.Option(help="Of the phasing.")] = 0,
    crop: Annotated[
        str | None,
        typer.Option(help="Voxels about the peak: 'm1', '20nm' (with the rutile peak), or three sizes."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Reconstruct one scan; of an npz file the array 'intensity', with q = 0 at index n//2."""
    with explained():
        settings = configured(data, None, seed=seed, crop=crop)
        path = as_file(target, (".npz", *FRAME_FILES))
        if path is not None and path.suffix == ".npz":
            usual = path.with_name(f"{path.stem}_object.npz")
            _reconstruct_array(path, output_file(output, usual, overwrite=overwrite), seed)
            return
        job = _job_of(path, target, settings)
        goal = output_file(output, Path(f"{job.stem}.h5"), overwrite=overwrite)
        _reconstruct_job(job, goal)


def _reconstruct_array(path: Path, goal: Path, seed: int) -> None:
    with console.status("reconstructing"):
        found = _phased(path, goal, seed)
    verdict = "trusted" if found.trusted else f"not trusted: {'; '.join(found.reasons)}"
    console.print(f"χ² {found.chi_squared:.4f}, {verdict}; written to {goal}")


def _phased(path: Path, output: Path, seed: int) -> Reconstruction:
    """Phase ``intensity`` (and ``mask``, where there is one) of an npz file; write ``object`` to `output`.

    What else the file holds is named.

    Raises
    ------
    ValueError
        There is no such array.
    """
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("intensity", "mask") if name in stored}
            names = sorted(stored)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"an npz file of numbers was expected, {path} is none or is cut short ({error}): write it again"
        ) from error
    if "intensity" not in arrays:
        raise ValueError(
            f"an npz file with the array 'intensity' was expected, {path} holds {names}; "
            "for frames of a whole scan use 'vo2 ingest'"
        )
    if unused := sorted(set(names) - arrays.keys()):
        warn(f"{path} also holds {unused}, which are not used: 'intensity' and 'mask' are")
    intensity, mask = arrays["intensity"], arrays.get("mask")
    from analysis import reconstruct
    from analysis.phasing.pattern import checked_mask
    from analysis.preprocessing import hidden_voxels

    if intensity.ndim == 3 and (mask is None or mask.shape == intensity.shape):
        mask = None if mask is None else checked_mask(mask, intensity.shape)
        mask, notes = hidden_voxels(intensity, mask)
        intensity = np.where(mask, 0, intensity)
        for note in notes:
            warn(note)
    found = reconstruct(intensity, mask, seed=seed)
    np.savez_compressed(output, object=found.object, support=found.support)
    return found


def _job_of(path: Path | None, uid: str, settings: Settings) -> ScanJob:
    """Return the job of a frame file, or of the stored run `uid` where there is none."""
    from profile_collection.session import stored_runs

    if path is not None:
        return stored_runs.file_job(path, settings)
    with opened(settings) as catalogue:
        return stored_runs.stored_job(catalogue, settings, uid, Path())


def _reconstruct_job(job: ScanJob, goal: Path) -> None:
    from profile_collection.session.stored_runs import reconstruct_job

    with console.status("reconstructing"):
        result = reconstruct_job(job, goal)
    verdict = "trusted" if result.trusted else f"not trusted: {'; '.join(result.reasons)}"
    console.print(
        f"χ² {result.chi_squared:.4f}, noise ratio {result.noise_ratio:.2f}, {verdict}; written to {goal}"
    )
    for note in result.notes:
        warn(f"note: {note}")


@data_app.command()
def clean(
    keep: Annotated[int, typer.Option(help="Newest simulated series to keep.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """List old simulated series with frames and results; delete them with --yes. Measured data stays."""
    from profile_collection.session.stored_runs import old_series, remove

    with explained():
        settings = configured(data, results)
        with opened(settings) as catalogue:
            found = old_series(catalogue, settings, keep)
            for one in found:
                begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.begun))
                console.print(f"{one.uid}  begun {begun}  {len(one.raw)} runs  {one.size / 1e6:.1f} MB")
            if not found:
                console.print("nothing to delete")
            elif yes:
                remove(catalogue, found)
                console.print(f"{len(found)} series deleted")
            else:
                console.print("nothing was deleted; add --yes to delete what is listed")
