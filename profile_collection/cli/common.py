"""What the commands share: their options, their console, and errors as one red line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from callbacks.live import make_console
from profile_collection.session.settings import Settings, load_settings

if TYPE_CHECKING:
    from callbacks.catalogue import Catalogue

console = make_console()
errors = Console(stderr=True)

DataOption = Annotated[
    Path | None,
    typer.Option(help="Folder of frames and catalogue [VO2_DATA, else ./data].", show_default=False),
]
ResultsOption = Annotated[
    Path | None, typer.Option(help="Folder of the results [VO2_RESULTS, else ./results].", show_default=False)
]


def configured(data: Path | None, results: Path | None, **given: Any) -> Settings:
    """Return the settings of a command."""
    return load_settings(data=data, results=results, **given)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Show what a user can put right as one red line, and exit 1; anything else is a bug and shows where."""
    try:
        yield
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        errors.print(f"[bold red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        errors.print("[yellow]interrupted[/]")
        raise typer.Exit(130) from None


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Catalogue]:
    """Open the configured catalogue for one command."""
    from profile_collection.session.storage import open_catalogue

    catalogue = open_catalogue(settings)
    try:
        yield catalogue
    finally:
        catalogue.close()
