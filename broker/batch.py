"""What one commit adds: events, lines, recipients.

Jobs see the batch in turn, each the effects of those before it. Nothing is written before `finish`, except that jobs
may use `conn` for rows of their own (invitations).
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.policy import Target
from broker.store import indicators, lines, log
from broker.store.engine import Connection
from lintas import merkle
from lintas.directory import Change, Directory, apply
from lintas.event import SALT_BYTES, US_PER_S, Event, encode, entry_of
from lintas.header import BULLETIN
from lintas.line import Line
from lintas.vocabulary import tlp_rank

REFUSED_MAX = 100_000
"""Ids of refused lines that are remembered: a refusal is logged once, however often the line is sent."""

RELEASED_MAX = 200
"""Bulletins named in one release event: each of their receipts carries the whole event."""


@dataclass(slots=True)
class Head:
    """Where the log ends.

    Size, newest time (microseconds), frontier, index of the newest recall or supersede, newest `party_seq` of the
    parties seen, ids of refused lines, oldest first.
    """

    size: int
    time: int
    frontier: merkle.Frontier
    withdrawn: int
    party_seqs: dict[str, int] = field(default_factory=dict)
    refused: dict[str, None] = field(default_factory=dict)

    @classmethod
    def load(cls, conn: Connection) -> Head:
        """Read the head of the log from the database."""
        size, time = log.head(conn)
        # Nobody holds a page read before now, so any index below the size will do for the newest withdrawal.
        return cls(size, time, log.frontier(conn, size), withdrawn=size - 1)

    def remember_refused(self, line_id: str) -> None:
        """Remember the id of a refused line, and forget the oldest when there are many."""
        self.refused[line_id] = None
        if len(self.refused) > REFUSED_MAX:
            del self.refused[next(iter(self.refused))]


class Batch:
    """One transaction's worth of changes, built by the writer's thread."""

    def __init__(
        self, conn: Connection, head: Head, directory: Directory, *, now_us: int, index_key: bytes = b""
    ) -> None:
        """Begin at the head; `known` is filled by the writer with the ids that jobs asked about.

        So is `former`, with those that a former epoch accepted: the entries of the events that say so.
        `index_key` is what indicator values are hidden with in indexes.
        """
        self.conn = conn
        self.directory = directory
        self.index_key = index_key
        self.known: dict[str, int] = {}
        self.former: dict[str, frozenset[bytes]] = {}
        self._head = head
        # One reading of the clock a batch, clamped so that time rises strictly along the log.
        self._time = max(now_us, head.time + 1)
        self._events: list[tuple[Event, bytes]] = []
        self._pending: dict[str, dict[str, Any]] = {}
        self._recipients: list[dict[str, Any]] = []
        self._refs: list[dict[str, Any]] = []
        self._indicators: list[dict[str, Any]] = []
        self._released: dict[str, list[Line]] = defaultdict(list)

    @property
    def next_seq(self) -> int:
        """The log index the next event will have."""
        return self._head.size + len(self._events)

    @property
    def events(self) -> Iterator[Event]:
        """The events added so far."""
        return (event for event, _ in self._events)

    @property
    def withdrawn(self) -> int:
        """The index of the newest recall or supersede, this batch's included."""
        pending = (row["seq"] for row in self._refs if row["relation"] in lines.WITHDRAWING)
        return max(pending, default=self._head.withdrawn)

    @property
    def touched(self) -> frozenset[str]:
        """The agencies whose feeds this batch adds to, ``*`` for all, and the issuers with their own bulletins."""
        released = {row["agency"] for row in self._recipients if row["state"] == lines.RELEASED}
        return frozenset(released | {row["iss"] for row in self._pending.values() if row["kind"] is not None})

    def party_seq(self, party: str) -> int:
        """Return the newest number given to an event of this party."""
        counters = self._head.party_seqs
        if party not in counters:
            counters.update(log.party_seqs(self.conn, [party]))
        return counters[party]

    @property
    def began(self) -> int:
        """The second the batch began at: whatever it accepts ends later, and so does whatever later ones accept."""
        return self._time // US_PER_S

    @property
    def now(self) -> int:
        """The second the next event will carry: decisions and the record of them use the same time."""
        return (self._time + len(self._events)) // US_PER_S

    def append(self, kind: str, party: str, *, object_id: str | None = None, detail: Mapping[str, Any]) -> int:
        """Add an event and return its log index."""
        seq = self.next_seq
        time = self._time + len(self._events)
        party_seq = self._head.party_seqs[party] = self.party_seq(party) + 1
        event = Event(kind, time, party, party_seq, object_id, detail)
        self._events.append((event, encode(event, secrets.token_bytes(SALT_BYTES))))
        return seq

    def change(self, change: Change, *, object_id: str | None) -> int:
        """Add the event of a directory change and carry it out. Call `record_releases` before deciding on it."""
        seq = self.append(change.kind, change.party, object_id=object_id, detail=change.detail)
        self.directory = apply(self.directory, change, seq=seq, at=self._events[-1][0].time // US_PER_S)
        return seq

    def keep(self, line: Line, seq: int, *, withdraws: bool = False, is_personal: bool = False) -> None:
        """Store an accepted line under the log index of its event."""
        header = line.header
        self.known[line.id] = seq
        self._pending[line.id] = {
            "seq": seq,
            "id": line.id,
            "typ": header.typ,
            "raw": line.raw,
            "iss": header.iss,
            "kid": header.kid,
            "at": self._events[seq - self._head.size][0].time // US_PER_S,
            "exp": header.exp,
            "kind": header.kind,
            "topic": header.topic,
            "urgency": header.urgency,
            "tlp_rank": tlp_rank(header.tlp) if header.tlp is not None else None,
            "withdraws": withdraws,
            "is_personal": is_personal,
        }

    def index(self, seq: int, values: Iterable[tuple[str, str]]) -> None:
        """Note the (type, canonical value) pairs of a clear bulletin for filters, watch lists."""
        self._indicators += indicators.rows(self.index_key, seq, values)

    def id_at(self, seq: int) -> str:
        """Return the id of the line that was accepted at this log index, in this batch or earlier."""
        pending = (line_id for line_id, row in self._pending.items() if row["seq"] == seq)
        return next(pending, None) or lines.by_seq(self.conn, [seq])[seq].id

    def find(self, line_id: str) -> Target | None:
        """Return a bulletin accepted earlier, in this batch too, as policy needs to know it."""
        row = self._pending.get(line_id)
        if row is not None:
            mine = [each for each in self._recipients if each["seq"] == row["seq"]]
            return self._target(lines.StoredLine(**row), {each["agency"]: each["state"] for each in mine})
        stored = lines.by_id(self.conn, line_id)
        if stored is None or stored.typ != BULLETIN:
            return None
        return self._target(stored, lines.recipients(self.conn, stored.seq))

    def _target(self, stored: lines.StoredLine, states: Mapping[str, str]) -> Target:
        said = {each.relation for each in lines.references(self.conn, [stored.seq])}
        said |= {row["relation"] for row in self._refs if row["target"] == stored.seq}
        return Target(
            seq=stored.seq,
            id=stored.id,
            iss=stored.iss,
            kind=stored.kind or "",
            topic=stored.topic or "",
            tlp_rank=stored.tlp_rank or 0,
            audience=frozenset(agency for agency, state in states.items() if state == lines.RELEASED),
            named=frozenset(states),
            about=self._about(stored.seq),
            is_recalled="recalls" in said,
            is_superseded="supersedes" in said,
        )

    def _about(self, seq: int) -> frozenset[int]:
        pending = {row["target"] for row in self._refs if row["seq"] == seq}
        return frozenset(pending | lines.targets(self.conn, seq))

    def refuse_once(self, line_id: str) -> bool:
        """Note that this line was refused; False when that is known."""
        if line_id in self._head.refused:
            return False
        self._head.remember_refused(line_id)
        return True

    def refer(self, seq: int, relation: str, target: int) -> None:
        """Note that bulletin `seq` says something of the earlier one `target`."""
        self._refs.append({"seq": seq, "relation": relation, "target": target})

    def release(self, line: Line, seq: int, agency: str) -> None:
        """Release a bulletin to an agency (or ``*``); one event an agency and commit records it."""
        self._recipients.append({"agency": agency, "seq": seq, "state": lines.RELEASED, "released_seq": None})
        self._released[agency].append(line)

    def withhold(self, seq: int, agency: str, reason: str) -> None:
        """Note that a recipient was named but may not have the bulletin."""
        self._recipients.append({"agency": agency, "seq": seq, "state": reason, "released_seq": None})

    def finish(self) -> Head | None:
        """Write all rows and return the new head, or None when the batch added nothing."""
        self.record_releases()
        if not self._events:
            return None
        frontier = self._head.frontier
        leaves, events = [], []
        for seq, (event, body) in enumerate(self._events, self._head.size):
            entry = entry_of(body)
            frontier, nodes = frontier.append(merkle.leaf_hash(entry))
            leaves.append({"seq": seq, "entry": entry, "nodes": nodes})
            events.append(_event_row(seq, event, body))
        log.append(self.conn, leaves, events)
        for insert, rows in (
            (lines.insert_lines, list(self._pending.values())),
            (lines.insert_recipients, self._recipients),
            (lines.insert_refs, self._refs),
            (indicators.insert_indicators, self._indicators),
        ):
            if rows:
                insert(self.conn, rows)
        newest = self._events[-1][0].time
        return Head(self.next_seq, newest, frontier, self.withdrawn, self._head.party_seqs, self._head.refused)

    def record_releases(self) -> None:
        """Log what was released so far: one event an agency, or more when it is much.

        Done before every change of the directory, so that a key's state at a release is its state at acceptance.
        """
        released_seq: dict[tuple[str, int], int] = {}
        for agency, released in sorted(self._released.items()):
            for start in range(0, len(released), RELEASED_MAX):
                part = released[start : start + RELEASED_MAX]
                detail = {
                    "ids": [line.id for line in part],
                    "topics": [line.header.topic for line in part],
                    "tlps": [line.header.tlp for line in part],
                    "exps": [line.header.exp for line in part],
                    "seqs": [self.known[line.id] for line in part],
                }
                seq = self.append("bulletin.released", agency, detail=detail)
                released_seq |= {(agency, self.known[line.id]): seq for line in part}
        self._released.clear()
        for row in self._recipients:
            if row["state"] == lines.RELEASED and row["released_seq"] is None:
                row["released_seq"] = released_seq[row["agency"], row["seq"]]


def _event_row(seq: int, event: Event, body: bytes) -> dict[str, Any]:
    return {
        "seq": seq,
        "time": event.time,
        "kind": event.kind,
        "party": event.party,
        "party_seq": event.party_seq,
        "object": event.object,
        "body": body,
    }
