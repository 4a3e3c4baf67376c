"""A stored series as it shows itself: a table at the prompt, table and figure in Jupyter."""

from __future__ import annotations

import base64
import csv
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

FIGURE = "order_parameter.png"
SHOWN = {
    "setpoint_K": "T / K",
    "branch": "branch",
    "attempt": "attempt",
    "order_parameter_rad": "O / rad",
    "bootstrap_error_rad": "± voxels",
    "seed_spread_rad": "± seeds",
    "repeat_error_rad": "± repeats",
    "chi_squared": "χ²",
    "noise_ratio": "noise ratio",
    "trusted": "trusted",
    "provisional": "provisional",
}
"""Columns of a series' table that are shown, where one row says anything there, and their headings."""


@dataclass(frozen=True)
class SeriesView:
    """A stored series as it shows itself: a table at the prompt, table and figure in Jupyter.

    Parameters
    ----------
    uid
        Of the series.
    folder
        Of its results.
    rows
        Of ``order_parameter.csv``, by column.
    """

    uid: str
    folder: Path
    rows: tuple[Mapping[str, str], ...]

    @classmethod
    def read(cls, uid: str, folder: Path) -> SeriesView:
        """Read the results of a series.

        Raises
        ------
        FileNotFoundError
            It has none.
        """
        path = folder / "order_parameter.csv"
        if not path.is_file():
            raise FileNotFoundError(
                f"a series with results was expected, {uid!r} came, and {str(folder)!r} has no "
                "order_parameter.csv: list_series() shows what is stored, replay(uid) analyses it"
            )
        with path.open(newline="", encoding="utf-8") as file:
            rows = tuple(csv.DictReader(line for line in file if not line.startswith("#")))
        return cls(uid, folder, rows)

    def table(self) -> Table:
        """Return the order parameter as a table."""
        columns = list(self.rows[0]) if self.rows else []
        shown = [name for name in columns if name in SHOWN and any(row[name] for row in self.rows)]
        table = Table(title=f"series {self.uid}", title_justify="left", box=box.SIMPLE_HEAD)
        for name in shown:
            table.add_column(SHOWN[name], no_wrap=True)
        for row in self.rows:
            table.add_row(*(escape(_short(row[name])) for name in shown))
        return table

    def __rich__(self) -> Table:
        return self.table()

    def __repr__(self) -> str:
        if not self.rows:
            return f"series {self.uid}: no temperature is analysed yet"
        console = Console(file=StringIO(), width=120)
        console.print(self.table())
        return str(console.file.getvalue()).rstrip()  # type: ignore[attr-defined]

    def _repr_html_(self) -> str:
        """Return table and figure for Jupyter."""
        console = Console(file=StringIO(), width=120, record=True)
        console.print(self.table())
        text = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
        figure = next(iter(sorted((self.folder / "figures").rglob(FIGURE))), None)
        if figure is None:
            return text
        picture = base64.b64encode(figure.read_bytes()).decode("ascii")
        return f'{text}<img src="data:image/png;base64,{picture}" alt="order parameter of {self.uid}">'


def series_list(scans: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of all stored series, the last one at the end.

    Parameters
    ----------
    scans
        Start documents of the rocking scans, oldest first.
    """
    table = Table("series", "begun", "sample", "scans", "of", "K", "", box=box.SIMPLE_HEAD)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for start in scans:
        found.setdefault(str(start.get("series_uid")), []).append(start)
    for uid, starts in found.items():
        first = starts[0]
        begun = datetime.datetime.fromtimestamp(float(first["time"]), tz=datetime.UTC).astimezone()
        kelvin = [float(start.get("temperature_setpoint", float("nan"))) for start in starts]
        table.add_row(
            escape(uid),
            begun.isoformat(" ", timespec="minutes"),
            escape(str(first.get("sample", ""))),
            str(len({start.get("series_index") for start in starts})),
            str(first.get("series_size", "?")),
            f"{min(kelvin):g} … {max(kelvin):g}",
            "simulated" if first.get("simulated") else "measured",
        )
    return table


def _short(text: str) -> str:
    """Return a number with the digits that matter, other text as it is."""
    if text in ("True", "False"):
        return "yes" if text == "True" else "no"
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
