"""Readers that turn a JSON value into a checked value, or refuse it with its path.

A reader takes a value with its path (``indicators[2].value``) and returns what the program keeps: text, tuple, mapping.
Promises: what a reader returns is within its limits; every refusal is a MalformedPayload whose `member` is the path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any

from lintas.errors import MalformedPayload

Reader = Callable[[object, str], Any]

MEMBER_CHARACTERS_MAX = 64
"""A name we do not know is shown up to here."""

DAY_PATTERN = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
TIME_PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)

DAY_S = 86_400

_DURATION = re.compile(r"P(?=[\dT])(?:(\d{1,4})W)?(?:(\d{1,4})D)?(?:T(?=\d)(?:(\d{1,4})H)?(?:(\d{1,5})M)?)?", re.ASCII)
_DURATION_UNITS_S = (7 * DAY_S, DAY_S, 3_600, 60)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OVERRIDES = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


def refusal(detail: str, path: str) -> MalformedPayload:
    """Return the refusal of the value at this path; the caller raises it."""
    return MalformedPayload(detail, member=path)


def text(characters_max: int, *, lines: bool = False) -> Reader:
    """Read visible text; `lines` allows line feeds and tabs."""

    def read(value: object, path: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise refusal(f"`{path}` is text that is not empty.", path)
        if len(value) > characters_max:
            raise refusal(f"`{path}` has {len(value)} characters; {characters_max} is the limit.", path)
        if not value.isprintable():
            if not lines and ("\n" in value or "\t" in value):
                raise refusal(f"`{path}` is one line without tabs.", path)
            refuse_hidden(value, path)
        return value

    return read


def refuse_hidden(value: str, path: str) -> None:
    """Refuse controls and direction overrides: what is shown would not be what was signed."""
    # All of them are unprintable, which is told many times faster than where one is.
    found = None if value.isprintable() else _CONTROLS.search(value) or _OVERRIDES.search(value)
    if found:
        raise refusal(f"Character {found.start() + 1} of `{path}` is a control (U+{ord(found[0]):04X}).", path)


def matching(pattern: str, words: str) -> Reader:
    """Read text of this pattern; `words` say what is meant."""
    compiled = re.compile(pattern, re.ASCII)

    def read(value: object, path: str) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise refusal(f"`{path}` is {words}.", path)
        return value

    return read


def one_of(values: Collection[str]) -> Reader:
    """Read one word of a closed set."""

    def read(value: object, path: str) -> str:
        if not isinstance(value, str) or value not in values:
            raise refusal(f"`{path}` is one of {', '.join(sorted(values))}.", path)
        return value

    return read


def list_of(reader: Reader, count_max: int) -> Reader:
    """Read a list that may be empty."""

    def read(value: object, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise refusal(f"`{path}` is a list.", path)
        if len(value) > count_max:
            raise refusal(f"`{path}` has {len(value)} entries; {count_max} is the limit.", path)
        return tuple(reader(each, f"{path}[{number}]") for number, each in enumerate(value))

    return read


def set_of(reader: Reader, count_max: int) -> Reader:
    """Read a list without repetition."""
    read_list = list_of(reader, count_max)

    def read(value: object, path: str) -> tuple[Any, ...]:
        values: tuple[Any, ...] = read_list(value, path)
        for number, each in enumerate(values):
            if each in values[:number]:
                raise refusal(f"`{path}` names {each!r} twice.", f"{path}[{number}]")
        return values

    return read


def members_of(readers: Mapping[str, Reader], *, required: Collection[str], what: str) -> Reader:
    """Read an object with these members and no others."""
    known, needed = readers.keys(), frozenset(required)

    def read(value: object, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise refusal(f"`{path}` is an object." if path else "The payload is an object.", path)
        prefix = f"{path}." if path else ""
        if not known >= value.keys():
            shown = str(next(name for name in value if name not in known))[:MEMBER_CHARACTERS_MAX]
            raise refusal(f"{what} has no member `{shown}`.", f"{prefix}{shown}")
        if not needed <= value.keys():
            name = min(needed - value.keys())
            raise refusal(f"{what} needs the member `{name}`.", f"{prefix}{name}")
        return {name: readers[name](each, prefix + name) for name, each in value.items()}

    return read


def counts_of(names: Collection[str], count_max: int) -> Reader:
    """Read an object of whole numbers from 0 to `count_max` under these names, one of them above 0."""

    def count(value: object, path: str) -> int:
        if type(value) is not int or not 0 <= value <= count_max:
            raise refusal(f"`{path}` is a whole number from 0 to {count_max}.", path)
        return value

    def read(value: object, path: str) -> dict[str, int]:
        counts: dict[str, int] = members_of(dict.fromkeys(names, count), required=(), what=f"`{path}`")(value, path)
        if not any(counts.values()):
            raise refusal(f"`{path}` has a number above 0.", path)
        return counts

    return read


def flag(value: object, path: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise refusal(f"`{path}` is true or false.", path)
    return value


def time(value: object, path: str) -> str:
    """Read an RFC 3339 time in UTC and keep it as it is written."""
    if not isinstance(value, str) or not TIME_PATTERN.fullmatch(value):
        raise refusal(f"`{path}` is a time in UTC such as 2026-11-20T03:00:00Z.", path)
    try:
        instant(value)
    except ValueError as fault:
        raise refusal(f"`{path}` names a time that does not exist.", path) from fault
    return value


def day_or_time(value: object, path: str) -> str:
    """Read a time, or a bare day (RFC 3339 full-date) where no more is known."""
    if not isinstance(value, str) or not DAY_PATTERN.fullmatch(value):
        return time(value, path)
    try:
        date.fromisoformat(value)
    except ValueError as fault:
        raise refusal(f"`{path}` names a day that does not exist.", path) from fault
    return value


def duration_s(value: object, path: str) -> int:
    """Read an ISO 8601 duration in weeks, days, hours, minutes (``P30D``, ``PT6H``) as seconds, one at least."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise refusal(f"`{path}` is a duration in weeks, days, hours, minutes, such as P30D or PT6H.", path)
    seconds = sum(int(count or 0) * unit_s for count, unit_s in zip(found.groups(), _DURATION_UNITS_S, strict=True))
    if seconds == 0:
        raise refusal(f"`{path}` is longer than nothing.", path)
    return seconds


def instant(value: str) -> datetime:
    """Return the moment a time names; raise ValueError when the calendar has none."""
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in value else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.strptime(value, form).replace(tzinfo=UTC)
