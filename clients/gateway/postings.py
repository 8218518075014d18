"""What tools posted, with the fate of each draft that was made of it.

A posting is in the file before its sender hears of it. A draft waits as ``held`` until an officer approves it, or is
``approved`` at once; from then on its tag names it in the outbox, which alone knows whether it was signed and sent:
what stands here of that is a copy. A draft that is decided loses its content here. The same content is one posting,
unless it failed: then it may be tried again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid5

from clients.gateway.database import Database
from lintas.imported import Import, Omission
from lintas.stix.ids import NAMESPACE
from lintas.strict import Json

HELD, APPROVED, PUBLISHED, REFUSED, DISCARDED = "held", "approved", "published", "refused", "discarded"
WAITING = "waiting"
"""A posting with something that is approved and not published yet."""

EMPTY = "{}"

_POSTING = "number, uuid, key, channel, name, at_us, objects, omitted, problem"
_DRAFT = "number, posting, tag, members, state, release_to, line, seq, problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What came in: what names its content, by which way, under which name, with which STIX objects."""

    key: str
    channel: str
    name: str = ""
    objects: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRow:
    """One draft; `release_to` is the list that an officer saw, `problem` why it was refused or what it waits for."""

    number: int
    posting: int
    tag: str
    members: Json
    state: str
    release_to: tuple[str, ...] | None
    line: str | None
    seq: int | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What was posted at once; `objects` are id and version of each STIX object in it."""

    number: int
    uuid: str
    key: str
    channel: str
    name: str
    at_us: int
    objects: tuple[tuple[str, str], ...]
    omitted: tuple[Omission, ...]
    problem: str | None
    drafts: tuple[DraftRow, ...]

    @property
    def state(self) -> str:
        """How far it got: held and waiting before what failed, so that nothing counts as over too early."""
        states = {each.state for each in self.drafts}
        if self.problem is not None:
            return REFUSED
        for state, said in ((HELD, HELD), (APPROVED, WAITING), (REFUSED, REFUSED), (DISCARDED, DISCARDED)):
            if state in states:
                return said
        return PUBLISHED

    @property
    def is_over(self) -> bool:
        """Tell whether nothing of it waits any more."""
        return self.state not in (HELD, WAITING)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try at a content."""

    key: str
    number: int

    def tag(self, index: int) -> str:
        """Name a draft in the outbox by its content: a gateway that lost this file knows it again there."""
        return f"gateway:{self.key}:{index}:{self.number}"


class Postings:
    """The postings in the database."""

    def __init__(self, database: Database) -> None:
        """Keep them in this file."""
        self._database = database

    def known(self, key: str) -> Posting | None:
        """Return the last posting of this content, unless it was refused: then it may be tried again."""
        row = self._database.row("SELECT number FROM posting WHERE key = ? ORDER BY attempt DESC", (key,))
        found = None if row is None else self.get(row[0])
        return None if found is not None and found.state == REFUSED else found

    def add(self, posted: Posted, found: Import | str, *, publishes: bool, now_us: int) -> Posting:
        """Keep what was posted with its drafts, or with why it was refused; the one that is known if there is one."""
        key = posted.key
        with self._database.transaction():
            known = self.known(key)
            if known is not None:
                return known
            last = self._database.row("SELECT coalesce(max(attempt), 0) FROM posting WHERE key = ?", (key,))
            attempt = last[0] + 1
            number = self._database.insert(
                "posting",
                uuid=str(uuid5(NAMESPACE, f"posting:{key}:{attempt}")),
                key=key,
                attempt=attempt,
                channel=posted.channel,
                name=posted.name,
                at_us=now_us,
                objects=json.dumps(posted.objects),
                omitted=json.dumps(
                    [] if isinstance(found, str) else [[each.where, each.why] for each in found.omitted]
                ),
                problem=found if isinstance(found, str) else None,
            )
            if not isinstance(found, str):
                state = APPROVED if publishes else HELD
                self._add_drafts(number, _Attempt(key, attempt), found.drafts, state)
            return self._found(number)

    def get(self, number: int) -> Posting | None:
        """Return one posting."""
        row = self._database.row(f"SELECT {_POSTING} FROM posting WHERE number = ?", (number,))  # noqa: S608
        if row is None:
            return None
        values = dict(zip(_POSTING.split(", "), row, strict=True))
        values["objects"] = tuple((each_id, version) for each_id, version in json.loads(values["objects"]))
        values["omitted"] = tuple(Omission(where, why) for where, why in json.loads(values["omitted"]))
        return Posting(**values, drafts=tuple(self._drafts("posting = ?", number)))

    def by_uuid(self, uuid: str) -> Posting | None:
        """Return the posting with this status id."""
        row = self._database.row("SELECT number FROM posting WHERE uuid = ?", (uuid,))
        return None if row is None else self.get(row[0])

    def newest(self, limit: int) -> list[Posting]:
        """Return the postings that came last, the newest first."""
        rows = self._database.rows("SELECT number FROM posting ORDER BY number DESC LIMIT ?", (limit,))
        return [self._found(row[0]) for row in rows]

    def held(self) -> list[DraftRow]:
        """Return the drafts that wait for an officer."""
        return self._drafts("state = ?", HELD)

    def approved(self) -> list[DraftRow]:
        """Return the drafts that are to be signed and sent, oldest first."""
        return self._drafts("state = ?", APPROVED)

    def draft(self, number: int) -> DraftRow | None:
        """Return one draft."""
        return next(iter(self._drafts("number = ?", number)), None)

    def approve(self, number: int, release_to: Sequence[str]) -> bool:
        """Let a held draft be signed for exactly these recipients; False when it is not held any more."""
        return self._move(number, HELD, state=APPROVED, release_to=json.dumps(list(release_to)))

    def discard(self, number: int) -> bool:
        """End a held draft; False when it is not held any more."""
        return self._move(number, HELD, state=DISCARDED, members=EMPTY)

    def publish(self, number: int, line: str, seq: int) -> None:
        """Note that the hub accepted it."""
        self._move(number, APPROVED, state=PUBLISHED, line=line, seq=seq, problem=None, members=EMPTY)

    def refuse(self, number: int, problem: str) -> None:
        """Note that it cannot be published."""
        self._move(number, APPROVED, state=REFUSED, problem=problem, members=EMPTY)

    def wait(self, number: int, problem: str) -> None:
        """Note what an approved draft waits for."""
        self._move(number, APPROVED, problem=problem)

    def counts(self) -> dict[str, int]:
        """Return how many drafts are in each state."""
        return dict(self._database.rows("SELECT state, count(*) FROM draft GROUP BY state ORDER BY state"))

    def _add_drafts(self, posting: int, attempt: _Attempt, drafts: Sequence[Json], state: str) -> None:
        query = "SELECT draft.tag FROM draft JOIN posting ON posting = posting.number WHERE key = ? AND state != ?"
        # Of what was refused in part only that part is tried again.
        done = {row[0].split(":")[2] for row in self._database.rows(query, (attempt.key, REFUSED))}
        for index, members in enumerate(drafts):
            if str(index) not in done:
                text = json.dumps(members, ensure_ascii=False)
                self._database.insert("draft", posting=posting, tag=attempt.tag(index), members=text, state=state)

    def _move(self, number: int, before: str, **values: Any) -> bool:
        names = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE draft SET {names} WHERE number = ? AND state = ?"  # noqa: S608 - our words
        return self._database.run(query, (*values.values(), number, before)) == 1

    def _found(self, number: int) -> Posting:
        found = self.get(number)
        assert found is not None
        return found

    def _drafts(self, where: str, value: int | str) -> list[DraftRow]:
        query = f"SELECT {_DRAFT} FROM draft WHERE {where} ORDER BY number"  # noqa: S608 - our words
        return [_draft(row) for row in self._database.rows(query, (value,))]


def _draft(row: Sequence[Any]) -> DraftRow:
    values = dict(zip(_DRAFT.split(", "), row, strict=True))
    values["members"] = json.loads(values["members"])
    values["release_to"] = None if values["release_to"] is None else tuple(json.loads(values["release_to"]))
    return DraftRow(**values)
