"""Where people read: a terminal as wide as it is, a log wide enough for the tables."""

from rich.console import Console

LOG_WIDTH = 120


def make_console() -> Console:
    """Return the console of this process's standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)
