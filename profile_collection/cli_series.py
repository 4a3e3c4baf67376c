"""Commands of ``vo2`` about an analysed series."""

from __future__ import annotations

from typing import Annotated

import typer

from profile_collection.cli_common import ResultsOption, configured, console, explained

series_app = typer.Typer()


@series_app.command(context_settings={"ignore_unknown_options": True})
def repeat(
    series: Annotated[str, typer.Argument(help="Uid or folder of an analysed series; -1 is the newest.")],
    seeds: Annotated[str, typer.Option(help="Seeds of the phasing, with commas between.")] = "1,2",
    results: ResultsOption = None,
) -> None:
    """Phase a series again from other seeds; the spread becomes the order parameter's error."""
    from callbacks.seeds import repeat_series
    from profile_collection.exporting import series_folder

    with explained():
        chosen = parse_seeds(seeds)
        folder = series_folder(configured(None, results).results, series)
        with console.status("phasing again") as status:
            found = repeat_series(folder, chosen, progress=status.update)
    console.print("    T / K   O / rad   from the fit  bootstrap  over seeds  seeds", highlight=False)
    for n, label in enumerate(found.labels):
        over = "–" if found.seeds[n] == 1 else f"{found.seed_spread[n]:.3f}"
        line = (
            f"{label:>9} {found.order_parameter[n]:9.2f} {found.errors[n]:14.2f} "
            f"{found.bootstrap_error[n]:10.2f} {over:>11} {found.seeds[n]:6d}"
        )
        console.print(line, highlight=False, soft_wrap=True)


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
