"""Which records of a collection are asked for.

`next` is the position after the last record of a page, as text with a check sum: it holds for ever and for anybody who
may read the collection. Whoever writes one of his own is told that it is none; he could as well ask by `added_after`.
Spec: TAXII 2.1 sections 3.4, 3.5.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from lintas.errors import BadRequest
from lintas.event import US_PER_S
from lintas.stix.ids import EPOCH
from lintas.strict import b64u, unb64u

VALUES_MAX = 100
"""Values of one filter: their ids alone are 6 KB of an address."""

LIMIT_DIGITS_MAX = 16
SPEC_VERSION = "2.1"
KEYWORDS = frozenset({"first", "last", "all"})

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}--[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TYPE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_SPEC = re.compile(r"\d\.\d", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-]\d\d:\d\d))", re.ASCII | re.IGNORECASE)
_CHECK_BYTES = 6
_PLACE_BYTES = 8
_PLACES = 2**62


@dataclass(frozen=True, slots=True)
class Record:
    """An object as it stands in a collection: `body` is its JSON, `added_us` when it was added (Unix microseconds).

    `version` is its `modified`, else its `created`; None for an observable, whose version is when it was added.
    """

    id: str
    added_us: int
    version: str | None
    body: bytes
    spec_version: str = SPEC_VERSION

    @property
    def type(self) -> str:
        """The type of the object."""
        return self.id.partition("--")[0]

    @property
    def version_us(self) -> int:
        """The version as a time."""
        return self.added_us if self.version is None else time_us(self.version)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters of a request. Sets that are empty ask for everything; `versions` has times and keywords.

    `added_after` and `position` are microseconds, both exclusive: of the request, of the page before.
    """

    added_after: int | None = None
    position: int | None = None
    limit: int | None = None
    ids: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    spec_versions: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset({"last"})
    versions: frozenset[int] = frozenset()

    @property
    def after_us(self) -> int:
        """Records added later than this are meant."""
        return max(-1 if each is None else each for each in (self.added_after, self.position))

    @property
    def is_everything(self) -> bool:
        """Tell whether no filter narrows what is given, times left aside."""
        return not (self.ids or self.types or self.spec_versions or self.versions)

    def limit_within(self, limit_max: int) -> int:
        """Return how many records to give: what is asked for, at most `limit_max`."""
        return limit_max if self.limit is None else min(self.limit, limit_max)

    def chosen(self, records: Iterable[Record], limit_max: int) -> tuple[Sequence[Record], bool]:
        """Return the records of the page, and whether there are more; `records` come in the order they were added."""
        fitting = [each for each in records if self._fits(each)]
        of_ids: dict[str, list[Record]] = {}
        for each in fitting:
            of_ids.setdefault(each.id, []).append(each)
        kept = {id(each) for versions in of_ids.values() for each in self._of_versions(versions)}
        found = [each for each in fitting if id(each) in kept and each.added_us > self.after_us]
        limit = self.limit_within(limit_max)
        return found[:limit], len(found) > limit

    def _fits(self, record: Record) -> bool:
        pairs = ((self.ids, record.id), (self.types, record.type), (self.spec_versions, record.spec_version))
        return all(not values or value in values for values, value in pairs)

    def _of_versions(self, records: Collection[Record]) -> Iterable[Record]:
        if "all" in self.keywords:
            return records
        ordered = sorted(records, key=lambda each: each.version_us)
        ends = {"first": ordered[0], "last": ordered[-1]}
        named = (each for each in ordered if each.version_us in self.versions)
        return [*named, *(ends[each] for each in self.keywords)]


def read_wanted(query: str, known: Collection[str], fields: Collection[str]) -> Wanted:
    """Read a query string; `known` parameters and `match` fields are those that the endpoint takes. Raise BadRequest.

    What is not taken is refused: a mistyped filter must not widen an answer in silence.
    """
    given: dict[str, str] = {}
    for name, value in _pairs(query):
        if name not in known and name not in {f"match[{each}]" for each in fields}:
            raise BadRequest("This parameter is unknown here.", member=_shown(name))
        if name in given:
            raise BadRequest("This parameter is given twice; write its values with commas.", member=_shown(name))
        given[name] = value
    keywords, versions = _versions(given)
    return Wanted(
        added_after=_time(given, "added_after"),
        position=read_position(given["next"]) if "next" in given else None,
        limit=_limit(given),
        ids=_values(given, "match[id]", _ID),
        types=_values(given, "match[type]", _TYPE),
        spec_versions=_values(given, "match[spec_version]", _SPEC),
        keywords=keywords,
        versions=versions,
    )


def write_position(added_us: int) -> str:
    """Return the `next` of the page that ends with the record added at this time."""
    place = added_us.to_bytes(_PLACE_BYTES)
    return b64u(_check(place) + place)


def read_position(text: str) -> int:
    """Return where a `next` goes on; raise BadRequest for text that no page gave."""
    try:
        raw = unb64u(text)
    except ValueError:
        raw = b""
    place = raw[_CHECK_BYTES:]
    found = int.from_bytes(place)
    if len(place) != _PLACE_BYTES or raw[:_CHECK_BYTES] != _check(place) or found >= _PLACES:
        raise BadRequest("This `next` is not one that a page of this server gave.", member="next")
    return found


def time_us(text: str) -> int:
    """Return an RFC 3339 time as Unix microseconds, finer digits left out; raise BadRequest."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadRequest("A time is written like 2026-11-24T00:00:00.000000Z.")
    second, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(second + (offset or "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError) as fault:
        raise BadRequest("This time does not exist.") from fault
    whole_us = (moment - EPOCH) // timedelta(seconds=1) * US_PER_S
    return whole_us + int((fraction or "0").ljust(6, "0")[:6])


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=16)
    except ValueError as fault:
        raise BadRequest("The address has parameters that cannot be read.") from fault


def _time(given: Mapping[str, str], name: str) -> int | None:
    try:
        return time_us(given[name]) if name in given else None
    except BadRequest as refusal:
        raise BadRequest(refusal.detail, member=name) from refusal


def _limit(given: Mapping[str, str]) -> int | None:
    text = given.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > LIMIT_DIGITS_MAX or int(text) == 0:
        raise BadRequest("`limit` is a whole number above 0.", member="limit")
    return int(text)


def _values(given: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> frozenset[str]:
    values = _split(given, name)
    for each in values:
        if not pattern.fullmatch(each):
            raise BadRequest(f"{_shown(each)!r} is no value of `{name}`.", member=name)
    return values


def _versions(given: Mapping[str, str]) -> tuple[frozenset[str], frozenset[int]]:
    values = _split(given, "match[version]") or frozenset({"last"})
    try:
        times = frozenset(time_us(each) for each in values - KEYWORDS)
    except BadRequest as refusal:
        raise BadRequest("A version is first, last, all, or a time.", member="match[version]") from refusal
    return values & KEYWORDS, times


def _split(given: Mapping[str, str], name: str) -> frozenset[str]:
    values = given[name].split(",") if name in given else []
    if len(values) > VALUES_MAX:
        raise BadRequest(f"`{name}` takes at most {VALUES_MAX} values.", member=name)
    return frozenset(values)


def _shown(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:64])


def _check(place: bytes) -> bytes:
    return hashlib.sha256(b"lintas-taxii-next\0" + place).digest()[:_CHECK_BYTES]
