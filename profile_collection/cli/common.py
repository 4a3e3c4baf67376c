"""What the commands share: their options, their console, and errors as one red line."""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand

from callbacks.live import make_console
from profile_collection.catalogue.background import require_writable
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
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are there.", show_default=False)
]

ExperimentOption = Annotated[
    str | None,
    typer.Option(help="TOML file of what is measured; the paper's by default.", show_default=False),
]


def with_options(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take each field of a dataclass as an option of its own, and get the object made of them.

    Parameters
    ----------
    kind
        A dataclass whose fields are annotated as a command's parameters are. The command's parameter
        ``options`` is that object.
    """
    fields = inspect.signature(kind, eval_str=True).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        """Return the command with these options in its signature, which is what typer reads."""
        own = inspect.signature(command, eval_str=True)
        shown = [one for name, one in own.parameters.items() if name != "options"]
        asked = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in fields.values()]

        @functools.wraps(command)
        def called(**values: Any) -> None:
            command(options=kind(**{name: values.pop(name) for name in fields}), **values)

        whole = own.replace(parameters=[*shown, *asked])
        called.__signature__ = whole  # type: ignore[attr-defined]
        called.__annotations__ = {name: one.annotation for name, one in whole.parameters.items()}
        return called

    return decorate


class TakesMinusOne(TyperCommand):
    """A command for which ``-1`` is an argument; any other option that it does not know is refused."""

    ignore_unknown_options = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line."""
        known = {name: param for param in self.params for name in (*param.opts, *param.secondary_opts)}
        words = iter(args)
        for word in words:
            if word == "--":
                break
            name, _, value = word.partition("=")
            if name in known:
                if not value and not getattr(known[name], "is_flag", False):
                    next(words, None)  # its value, whatever it looks like
                continue
            number = re.fullmatch(r"-[0-9.][0-9.,e-]*", word)
            if name.startswith("-") and not number and name not in ("-", *self.get_help_option_names(ctx)):
                ctx.fail(f"No such option: {name}")
        return super().parse_args(ctx, args)


def configured(data: Path | None, results: Path | None, **given: Any) -> Settings:
    """Return the settings of a command."""
    return load_settings(data=data, results=results, **given)


ELSEWHERE = (
    "another user's, or a read-only archive's: give another place (--output, VO2_DATA, VO2_RESULTS), or work "
    "on a copy ('cp -r')"
)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Show what a user can put right as one red line, and exit 1; anything else is a bug and shows where."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        errors.print("[yellow]interrupted[/]")
        raise typer.Exit(130) from None
    except Exception as error:
        told = in_words(error)
        if told is None:
            raise
        errors.print(f"[bold red]{escape(told)}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def in_words(error: BaseException) -> str | None:
    """Return what an error says to a person, on one line; None for one that is a bug."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        said = f"{error.strerror}: {str(error.filename)!r}"
        return f"{said}; {ELSEWHERE}" if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) else said
    if isinstance(error, ValueError | LookupError | OSError | RuntimeError):
        return str(error)
    from callbacks.catalogue import server_said

    return server_said(error)


def warn(message: str) -> None:
    """Show a remark, in yellow."""
    console.print(f"[yellow]{escape(message)}[/]", highlight=False, soft_wrap=True)


def as_path(target: str) -> Path | None:
    """Return the file or folder that `target` names, None where it can only be a uid.

    Whatever exists, has a slash or ends as a file does is a path, and is never looked for as a uid.

    Raises
    ------
    ValueError
        It is a path, and nothing is there.
    """
    path = Path(target).expanduser()
    if path.exists():
        return path
    if "/" in target or path.suffix:
        raise ValueError(f"a file or a uid was expected, and {str(path.absolute())!r} is not there")
    return None


def series_or_run(given: str) -> str:
    """Return the uid that `given` is; of the folder of a series, wherever it lies, its name.

    Raises
    ------
    ValueError
        It is a path of something else.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        return path.resolve().name
    if path.exists() or "/" in given:
        raise ValueError(
            f"the uid or the folder of a series was expected, or -1; {given!r} is no such folder"
        )
    return given


def output_file(given: Path | None, usual: Path, *, overwrite: bool) -> Path:
    """Return the file that a command will write, checked before anything is computed.

    Parameters
    ----------
    given
        What the person gave: a file, with or without its suffix, or a folder; None takes the usual one.
    usual
        Name, and suffix, where nothing else is given.
    overwrite
        Whether a file that is there may be replaced.

    Raises
    ------
    ValueError
        Something is there, or nothing can be written there.
    """
    path = usual if given is None else given
    if path.is_dir():
        path = path / usual.name
    elif path.suffix != usual.suffix:
        path = path.with_name(path.name + usual.suffix)
    if path.is_dir():
        raise ValueError(f"a file is written, {str(path)!r} is a folder; give another --output")
    if path.exists() and not overwrite:
        raise ValueError(f"{str(path)!r} is there already; add --overwrite, or give another --output")
    require_writable(path.parent, "give another --output")
    return path


def output_folder(given: Path | None, *, overwrite: bool) -> Path | None:
    """Return the folder that a person gave, checked before anything is computed for it; None stays None.

    Raises
    ------
    ValueError
        It is a file, cannot be written, or holds something already.
    """
    if given is None:
        return None
    if given.is_dir() and any(given.iterdir()) and not overwrite:
        raise ValueError(f"{str(given)!r} is not empty; add --overwrite, or give another --output")
    require_writable(given, "give another --output")
    return given


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Catalogue]:
    """Open the configured catalogue for one command; its log is a file beside the session's."""
    from profile_collection.session.session_log import session_log
    from profile_collection.session.storage import open_catalogue

    with contextlib.ExitStack() as undo:
        catalogue = undo.enter_context(contextlib.closing(open_catalogue(settings)))
        with contextlib.suppress(OSError):  # another user's folder: no log
            undo.enter_context(
                session_log(
                    settings.log.with_name("commands.log"),
                    lambda words: errors.print(escape(words), highlight=False),
                )
            )
        yield catalogue


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar a file while frames are copied."""
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)

        yield show
