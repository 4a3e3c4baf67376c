"""The IOC's records, made one by one from plain values and functions."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from caproto.server.server import (
    PvpropertyChar,
    PvpropertyDouble,
    PvpropertyEnum,
    PvpropertyInteger,
    PVSpec,
)

if TYPE_CHECKING:
    from profile_collection.twin.instruments import Clock

Record = Any
"""A record of caproto; its type parameters say nothing more."""

Put = Callable[[Any], Awaitable[Any]]
Get = Callable[[], Any]

TEXT_LENGTH = 256

SHORT_TEXT: dict[str, Any] = {"report_as_string": True, "max_length": 40}
"""Options of a text that is a string record, not a character waveform."""


class _Number(PvpropertyDouble):
    """A number whose limits are told to clients, and enforced by its own putter in the record's own way."""

    async def verify_value(self, value: Any) -> Any:
        """Return the value to keep."""
        return value if self.putter is None else await self.putter(self, value)


class Database:
    """All records by name.

    Attributes
    ----------
    records : dict
        What caproto serves.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self._live: list[Record] = []

    def add(
        self,
        name: str,
        value: Any,
        *,
        get: Get | None = None,
        put: Put | None = None,
        read_only: bool = False,
        choices: tuple[str, ...] | None = None,
        **options: Any,
    ) -> Record:
        """Add a record and return it.

        Parameters
        ----------
        name : str
            Name of the process variable.
        value : bool, int, float, str or list of int
            First value; its type is the record's. A text is a character waveform, so that it may be long.
        get : callable, optional
            Asked for the value each time somebody reads it.
        put : callable, optional
            Awaited with each value that a client writes before the write is confirmed; returns the value to
            keep, None for the one written.
        read_only : bool
            Whether clients may only read.
        choices : tuple of str, optional
            Makes it an enumeration.
        **options
            Of caproto: `units`, `precision`, `max_length`, `record`, control limits.
        """
        if name in self.records:
            raise ValueError(f"the name of a record must be unique, {name!r} came twice; choose another")
        kind, kept = _kind(value, choices)
        record: Record = kind(
            pvname=name,
            group=None,
            pvspec=PVSpec(attr=name, name=name, get=_getter(get), put=_putter(put)),
            value=value,
            **(kept | options),
        )
        if read_only:
            record.putter = _refusing(name)
        if get is not None:
            self._live.append(record)
        self.records[name] = record
        return record

    async def tick(self) -> None:
        """Publish what has changed by itself, for clients that watch."""
        for record in self._live:
            await record.getter(record)

    def add_pair(self, name: str, value: Any, *, put: Put | None = None, **options: Any) -> Record:
        """Add a setting `name` and its readback `name_RBV`, which follows; return the setting."""
        readback = self.add(f"{name}_RBV", value, read_only=True, **options)

        async def follow(asked: Any) -> Any:
            kept = await put(asked) if put is not None else None
            await post(readback, asked if kept is None else kept)
            return kept

        return self.add(name, value, put=follow, **options)


def _kind(value: Any, choices: tuple[str, ...] | None) -> tuple[type[Any], dict[str, Any]]:
    """Return caproto's class for a value, and the options that belong to it."""
    if choices is not None:
        return PvpropertyEnum, {"enum_strings": list(choices)}
    if isinstance(value, str):
        return PvpropertyChar, {"max_length": TEXT_LENGTH, "max_subscription_backlog": 10}
    if isinstance(value, float):
        return _Number, {}
    return PvpropertyInteger, {}


def _getter(get: Get | None) -> Any:
    if get is None:
        return None

    async def getter(record: Record) -> None:
        await post(record, get())

    return getter


def _putter(put: Put | None) -> Any:
    if put is None:
        return None

    async def putter(_record: Record, value: Any) -> Any:
        return await put(value)

    return putter


def _refusing(name: str) -> Any:
    async def putter(_record: Record, value: Any) -> Any:
        raise PermissionError(f"{name} can only be read, {value!r} was to be written to it")

    return putter


async def post(record: Record, value: Any, **metadata: Any) -> None:
    """Publish a value that the IOC itself has found; no putter runs."""
    await record.write(value, verify_value=False, **metadata)


async def pass_time(clock: Clock, seconds: float) -> None:
    """Let simulated time pass while the IOC goes on answering."""
    if math.isinf(clock.pace):
        clock.sleep(seconds)
    else:
        await asyncio.sleep(seconds / clock.pace)
