"""Verified bulletins as the gateway keeps them, each with the objects that it gives to tools.

A bulletin stands until its issuer recalls or supersedes it, or its time is over. Then its content leaves this file:
what stays is its place, and revoked objects without content for the tools that have the former ones. Taking the same
item twice changes nothing, so a page may come again after a kill.
Spec: docs/spec/gateway.md; docs/spec/stix.md (versions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clients.gateway.database import Database
from clients.gateway.events import Events
from clients.gateway.objects import Object, Objects
from clients.gateway.rules import Rules, why_unserved
from lintas import stix, withdrawal
from lintas.bulletin import Bulletin, parse
from lintas.errors import LintasError
from lintas.event import US_PER_S
from lintas.feed import Received
from lintas.header import BULLETIN
from lintas.line import Line
from lintas.line import parse as parse_line
from lintas.state import Released, Withdrawal
from lintas.stix import Export, Origin

EXPIRED = "expired"
_COLUMNS = (
    "id, seq, changed, at_us, exp, iss, line, payload, marks, parts, unserved, state, by, origin, origin_us, version_us"
)

Opener = Callable[[Line], bytes]
"""Opens the content of a sealed line with the agency's keys; raises a LintasError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One bulletin; `line` is None once it has ended, and `state` then says how.

    `payload` is what was opened of a sealed one that tools may have. `version_us` is the version of its objects.
    """

    id: str
    seq: int
    changed: int
    at_us: int
    exp: int
    iss: str
    line: bytes | None
    payload: bytes | None
    marks: str
    parts: str
    unserved: str | None
    state: str | None
    by: str | None
    origin: str
    origin_us: int
    version_us: int

    @property
    def parsed(self) -> Line:
        """The signed line of one that stands."""
        assert self.line is not None
        return parse_line(self.line, BULLETIN)

    def content(self) -> Bulletin | None:
        """Return the content if tools may have it."""
        if self.line is None or self.unserved is not None:
            return None
        line = self.parsed
        return parse(self.payload or line.payload, kind=line.header.kind or "")

    def received(self) -> Received:
        """Return it as the client gives it; content that tools may not have is left out."""
        if self.line is None:
            return Received(seq=self.seq, id=self.id, state=self.state, by=self.by)
        line, content = self.parsed, self.content()
        return Received(
            seq=self.seq,
            id=self.id,
            line=line,
            content=content,
            marks=tuple(self.marks.split()),
            recalled_by=tuple(self.parts.split()),
            payload=None if content is None else self.payload or line.payload,
        )


class Bulletins:
    """The bulletins in the database. `url` is the hub's address, for links in what tools are given."""

    def __init__(self, database: Database, objects: Objects, rules: Rules, url: str) -> None:
        """Keep them in this file, by these rules."""
        self._database = database
        self._objects = objects
        self._events = Events(database)
        self._rules = rules
        self._url = url

    def take(self, items: Iterable[Received], released: Mapping[str, Released], now_us: int) -> None:
        """Take over verified items; `released` is what the log says of them."""
        with self._database.transaction():
            for item in items:
                found = released.get(item.id)
                self._take(item, found.at * US_PER_S if found is not None else now_us, now_us)

    def end_expired(self, now_us: int) -> None:
        """End what is over by now."""
        query = "SELECT id FROM bulletin WHERE state IS NULL AND exp <= ?"
        if self._database.row(query, (now_us // US_PER_S,)) is None:
            return
        with self._database.transaction():
            for row in self._database.rows(query, (now_us // US_PER_S,)):
                self._end(self.get(row[0]), EXPIRED, None, now_us)

    def apply_rules(self, opener: Opener, now_us: int) -> None:
        """Give tools what they may have by the present rules, and no more, of all that stands."""
        present = f"red {self._rules.serves_red} purpose {self._rules.has_purpose}"
        if self._database.get("rules") == present:
            return
        with self._database.transaction():
            self._database.put("rules", present)
            for (each_id,) in self._database.rows("SELECT id FROM bulletin WHERE state IS NULL ORDER BY seq"):
                kept = self.get(each_id)
                assert kept is not None
                payload, content = _opened(kept.parsed, opener)
                why = why_unserved(kept.parsed.header, content, kept.marks.split(), self._rules)
                if why != kept.unserved:
                    self._set(kept, unserved=why, payload=None if why else payload)
                    self._carry(each_id, now_us)

    def get(self, bulletin_id: str) -> Kept | None:
        """Return one bulletin."""
        row = self._database.row(f"SELECT {_COLUMNS} FROM bulletin WHERE id = ?", (bulletin_id,))  # noqa: S608
        return None if row is None else _kept(row)

    def changed_after(self, number: int, limit: int) -> list[Kept]:
        """Return what came or changed after this number, in that order, each bulletin once as it is now."""
        query = f"SELECT {_COLUMNS} FROM bulletin WHERE changed > ? ORDER BY changed LIMIT ?"  # noqa: S608
        return [_kept(row) for row in self._database.rows(query, (number, limit))]

    def counts(self) -> dict[str, int]:
        """Return how many stand with their content, how many by their header alone and why, how many have ended."""
        query = "SELECT coalesce(state, unserved, 'served'), count(*) FROM bulletin GROUP BY 1 ORDER BY 1"
        return dict(self._database.rows(query))

    def _take(self, item: Received, at_us: int, now_us: int) -> None:
        known = self.get(item.id)
        if item.line is None:
            if known is None:
                self._add_ended(item, at_us)
            else:
                self._end(known, item.state or EXPIRED, item.by, now_us)
            return
        if known is None:
            self._add(item, item.line, at_us, now_us)
        elif known.line is not None and known.marks != " ".join(item.marks):
            self._remark(known, item, now_us)

    def _add_ended(self, item: Received, at_us: int) -> None:
        self._insert(item, iss="", exp=0, at_us=at_us, state=item.state, by=item.by)

    def _add(self, item: Received, line: Line, at_us: int, now_us: int) -> None:
        header = line.header
        why = why_unserved(header, item.content, item.marks, self._rules)
        said = withdrawal.said_by(line, item.content)
        before = self._predecessor(said, header.iss)
        self._insert(
            item,
            iss=header.iss,
            exp=header.exp or 0,
            at_us=at_us,
            line=line.raw,
            payload=_opened_payload(item, why),
            unserved=why,
            **_origin(item.id, at_us, before, said),
        )
        for each in said:
            values = (each.target, each.by, each.relation, each.iss, at_us)
            self._database.run("INSERT OR IGNORE INTO said VALUES (?, ?, ?, ?, ?)", values)
            if each.relation == withdrawal.PART and item.content is not None:
                self._note_gone(each.target, item.content)
        self._carry(item.id, now_us)
        for target in {each.target for each in said}:
            self._withdraw(target, now_us)
        # What came first, because a grant widened only now, may have been withdrawn in the meantime.
        self._withdraw(item.id, now_us)

    def _predecessor(self, said: Sequence[Withdrawal], iss: str) -> Kept | None:
        targets = [each.target for each in said if each.relation == "supersedes"]
        found = [kept for kept in map(self.get, targets) if kept is not None and kept.iss == iss]
        return min(found, key=lambda kept: kept.seq, default=None)

    def _note_gone(self, target: str, content: Bulletin) -> None:
        for each in content.indicators:
            self._database.run("INSERT OR IGNORE INTO gone VALUES (?, ?, ?)", (target, each.type, each.value))

    def _withdraw(self, target: str, now_us: int) -> None:
        """Do to a bulletin what its issuer said of it, whichever came first."""
        kept = self.get(target)
        if kept is None or kept.line is None:
            return
        query = "SELECT relation, by, at_us FROM said WHERE target = ? AND iss = ? ORDER BY at_us, by"
        by = {relation: line_id for relation, line_id, _ in self._database.rows(query, (target, kept.iss))}
        for state, relation in withdrawal.RELATIONS.items():
            if relation in by:
                self._end(kept, state, by[relation], now_us)
                return
        parts = [row[1] for row in self._database.rows(query, (target, kept.iss)) if row[0] == withdrawal.PART]
        if parts and kept.parts != " ".join(parts):
            marks = dict.fromkeys([*kept.marks.split(), "recalled-in-part"])
            self._set(kept, parts=" ".join(parts), marks=" ".join(marks), version_us=self._next(kept, now_us))
            self._carry(target, now_us)

    def _remark(self, kept: Kept, item: Received, now_us: int) -> None:
        why = why_unserved(kept.parsed.header, item.content, item.marks, self._rules)
        self._set(kept, marks=" ".join(item.marks), unserved=why, payload=_opened_payload(item, why))
        if why != kept.unserved:
            self._carry(kept.id, now_us)

    def _carry(self, bulletin_id: str, now_us: int) -> None:
        kept = self.get(bulletin_id)
        assert kept is not None
        content, objects = kept.content(), list[Object]()
        if content is None:
            self._events.drop(bulletin_id)
        else:
            export = self._export(kept, content)
            objects += stix.objects(export)
            self._events.put(export)
        # A revoked object stays revoked for whoever has not polled yet.
        revoked = [each for each in self._objects.of(bulletin_id) if each.get("revoked") is True]
        tlp = kept.parsed.header.tlp or ""
        self._objects.carry(bulletin_id, [*revoked, *objects], tlp=tlp, now_us=now_us)

    def _end(self, kept: Kept | None, state: str, by: str | None, now_us: int) -> None:
        if kept is None or kept.line is None:
            return
        content, tlp = kept.content(), kept.parsed.header.tlp or ""
        if content is not None:
            export, at_us = self._export(kept, content), self._next(kept, now_us)
            self._events.withdraw(export, at_us)
            # The note of a recall that is over goes, and accuses nobody where it was read.
            ended = () if content.kind == "recall" else stix.revoked(export, at_us)
            former = [each for each in self._objects.of(kept.id) if each.get("revoked") is True]
            # What replaces it gives newer versions of the same objects; those stand.
            left = self._objects.carried(by) if by is not None and state == "superseded" else set()
            objects = [each for each in (*former, *ended) if each["id"] not in left]
            self._objects.carry(kept.id, objects, tlp=tlp, now_us=now_us)
        self._database.run("DELETE FROM gone WHERE target = ?", (kept.id,))
        self._set(kept, line=None, payload=None, unserved=None, marks="", parts="", state=state, by=by)

    def _export(self, kept: Kept, content: Bulletin) -> Export:
        header = kept.parsed.header
        origins = {kept.id: Origin(kept.origin, kept.origin_us)}
        for target in header.targets("recalls"):
            found = self.get(target)
            origins |= {} if found is None else {target: Origin(found.origin, found.origin_us)}
        gone = self._database.rows("SELECT kind, value FROM gone WHERE target = ?", (kept.id,))
        return Export(
            id=kept.id,
            header=header,
            content=content,
            time_us=kept.at_us,
            changed_us=kept.version_us,
            origins=origins,
            withdrawn=frozenset((kind, value) for kind, value in gone),
            url=f"{self._url}/v1/bulletins/{kept.id}",
        )

    def _next(self, kept: Kept, now_us: int) -> int:
        """Return the next version of what hangs on the origin of a bulletin: later than all before it."""
        newest = self._database.row("SELECT max(version_us) FROM bulletin WHERE origin = ?", (kept.origin,))[0]
        return max(now_us, int(newest) + 1)

    def _insert(self, item: Received, *, at_us: int, **values: Any) -> None:
        given: dict[str, Any] = {"origin": item.id, "origin_us": at_us, "version_us": at_us} | values
        self._database.insert(
            "bulletin",
            id=item.id,
            seq=item.seq,
            changed=self._database.rising("changed"),
            at_us=at_us,
            marks=" ".join(item.marks),
            parts=" ".join(item.recalled_by),
            **given,
        )

    def _set(self, kept: Kept, **values: Any) -> None:
        given = {"changed": self._database.rising("changed"), **values}
        names = ", ".join(f"{name} = ?" for name in given)
        self._database.run(f"UPDATE bulletin SET {names} WHERE id = ?", (*given.values(), kept.id))  # noqa: S608


def _origin(own: str, at_us: int, before: Kept | None, said: Sequence[Withdrawal]) -> dict[str, Any]:
    """Return what the objects of a bulletin hang on: the first of its chain, as far as it was ever shown to us."""
    if before is not None:
        version = max(at_us, before.version_us + 1)
        return {"origin": before.origin, "origin_us": before.origin_us, "version_us": version}
    unknown = min((each.target for each in said if each.relation == "supersedes"), default=own)
    return {"origin": unknown, "origin_us": at_us, "version_us": at_us}


def _opened_payload(item: Received, why_not: str | None) -> bytes | None:
    """Return what is kept of a sealed bulletin that tools may have; a clear one has it in its line."""
    return item.payload if item.is_sealed and why_not is None else None


def _opened(line: Line, opener: Opener) -> tuple[bytes | None, Bulletin | None]:
    """Return what was opened of a sealed line, and the content of any."""
    kind = line.header.kind or ""
    if line.header.enc is None:
        return None, parse(line.payload, kind=kind)
    try:
        payload = opener(line)
        return payload, parse(payload, kind=kind)
    except LintasError:
        return None, None


def _kept(row: Sequence[Any]) -> Kept:
    return Kept(**dict(zip(_COLUMNS.split(", "), row, strict=True)))
