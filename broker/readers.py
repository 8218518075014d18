"""Who has a bulletin, for its originator or a reviewing administrator.

For each recipient: released or withheld, then the first event of each step on the way to a reader. A step is never
taken back. Sent and received are the hub's word; opened and acknowledged are lines of the reader, handed over whole.
Spec: docs/spec/http.md (readers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker import policy
from broker.standing import is_within, readable
from broker.store import delivery, lines, log
from broker.store.engine import Connection
from lintas.directory import Directory
from lintas.errors import NotFound


@dataclass(frozen=True, slots=True)
class Step:
    """The event of one step: its log index, its time in microseconds; for a signed step the line that was signed."""

    seq: int
    time: int
    line: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """How far one recipient got. `state` is released, not-entitled or suspended; `ways` in the order they were used."""

    agency: str
    state: str
    ways: tuple[str, ...] = ()
    steps: Mapping[str, Step] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Readers:
    """A bulletin of the asking agency with the readers it has."""

    id: str
    seq: int
    readers: tuple[Reader, ...]


def readers_of(conn: Connection, directory: Directory, agency: str, line_id: str) -> Readers:
    """Return who has a bulletin of this agency; raise NotFound for anybody else's, whether it exists or not."""
    row = readable(conn, directory, agency, line_id)
    if row.iss != agency:
        raise NotFound
    return readers_for_review(conn, directory, row)


def readers_for_review(conn: Connection, directory: Directory, row: lines.StoredLine) -> Readers:
    """Return who has a bulletin, whoever issued it: for administrators, who see no content."""
    sent = delivery.of_bulletin(conn, row.seq)
    acks = delivery.acks(conn, row.seq)
    named = lines.recipients(conn, row.seq)
    everyone = named.pop(lines.EVERYONE, None)
    if everyone is not None:
        had = {each.agency for each in sent} | {each.agency for each in acks}
        named = dict.fromkeys(_may_read(directory, row) | had, everyone)
    released = lines.released_seqs(conn, row.seq)
    to_all = released.get(lines.EVERYONE)
    found = []
    for each in sorted(named):
        ways = [way for way in sent if way.agency == each]
        seqs = _steps(released.get(each, to_all), ways, [ack for ack in acks if ack.agency == each])
        found.append((each, tuple(way.way for way in ways), seqs))
    times = log.times(conn, [seq for _, _, seqs in found for seq in seqs.values()])
    signed = lines.by_seq(conn, [ack.seq for ack in acks])
    return Readers(
        row.id,
        row.seq,
        tuple(
            Reader(each, named[each], ways, {step: _step(seq, times, signed) for step, seq in seqs.items()})
            for each, ways, seqs in found
        ),
    )


def _may_read(directory: Directory, row: lines.StoredLine) -> set[str]:
    # Released to everyone: those count who may read it now, with those who have it already.
    return {
        partner
        for partner in directory.partners
        if partner != row.iss and is_within(policy.reading(directory, partner), row)
    }


def _steps(
    released_seq: int | None, ways: list[delivery.Delivered], acks: list[delivery.Acknowledged]
) -> dict[str, int]:
    """Return the index of the first event of each step that was taken."""
    received = [way.received_seq for way in ways if way.received_seq is not None]
    steps = {
        "released": [] if released_seq is None else [released_seq],
        "sent": [way.sent_seq for way in ways],
        "received": received,
        **{ack.state: [ack.seq] for ack in acks},
    }
    return {step: min(seqs) for step, seqs in steps.items() if seqs}


def _step(seq: int, times: Mapping[int, int], signed: Mapping[int, lines.StoredLine]) -> Step:
    ack = signed.get(seq)
    return Step(seq, times[seq], None if ack is None else ack.raw)
