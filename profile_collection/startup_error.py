"""Why a session could not start, as one red line."""

from __future__ import annotations


class StartupError(RuntimeError):
    """A session could not start.

    Parameters
    ----------
    cause
        What is wrong.
    remedy
        What to do about it.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show one red line in place of a traceback."""
        return [f"\x1b[1;31mThe session did not start: {self}\x1b[0m"]
