"""Re-deriving everything from the rows until the first fault.

Checked: every event body against its entry, every entry against the tree, the columns beside a body, every checkpoint
against the tree of its size and the log key, every cosignature against its checkpoint, gapless numbering per party,
every missing body against the purge that names it, every stored line against its id, its header columns and the event
that accepted it, the directory against the lines behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from broker.catchup import replay
from broker.signer import extend
from broker.store import cosignatures, lines, log
from broker.store.engine import Connection, Store
from lintas import checkpoint, merkle, note, purge
from lintas.cosignature import check_cosignatures
from lintas.directory import CONTROL_KINDS
from lintas.errors import LintasError, LogHalted
from lintas.event import parse_event
from lintas.header import ACK, BULLETIN, Header
from lintas.line import line_id, parse
from lintas.receipt import ACK_KINDS, named
from lintas.strict import parse_object
from lintas.vocabulary import tlp_rank


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked: the tree's size and root, and how many checkpoints and lines fit it."""

    size: int
    root: bytes
    checkpoints: int
    lines: int


def check_everything(store: Store, key: note.VerifierKey, progress: Callable[[int, int], None]) -> Report:
    """Check the whole database; raise LogHalted naming the first fault. `progress` gets rows done and rows in all."""
    with store.read() as conn:
        size, _ = log.head(conn)
        notes = log.checkpoints(conn)
        root, signed = _check_log(conn, key, notes, lambda done: progress(done, size))
        _check_cosignatures(conn)
        counted = _check_lines(conn)
        rows = log.events_of_kinds(conn, CONTROL_KINDS, after=-1)
        try:
            replay(rows, lines.by_ids(conn, {row.object for row in rows if row.object is not None}))
        except LintasError as fault:
            raise LogHalted(f"The directory does not follow from its lines: {fault}") from fault
    return Report(size=size, root=root, checkpoints=signed, lines=counted)


def _check_log(
    conn: Connection, key: note.VerifierKey, notes: Iterator[tuple[int, bytes]], progress: Callable[[int], None]
) -> tuple[bytes, int]:
    size, _ = log.head(conn)
    frontier = merkle.Frontier(0, ())
    numbers: dict[str, int] = {}
    holes: dict[tuple[str, int], bytes] = {}
    signed = 0
    pending = next(notes, None)
    for row in log.rows(conn, 0, size):
        frontier = extend(frontier, row)
        if row.party_seq != numbers.get(row.party, 0) + 1:
            raise LogHalted(f"Row {row.seq}: the events of {row.party} are not numbered without a gap.")
        numbers[row.party] = row.party_seq
        _check_hole(row, holes)
        if pending is not None and pending[0] == frontier.size:
            _check_checkpoint(pending[1], key, frontier)
            signed += 1
            pending = next(notes, None)
        progress(row.seq + 1)
    if frontier.size != size:
        raise LogHalted(f"Row {frontier.size} is missing.")
    if pending is not None:
        raise LogHalted(f"A checkpoint of size {pending[0]} was signed, but the log has {size} rows.")
    if holes:
        party, number = min(holes)
        raise LogHalted(f"Event {number} of {party} has no body, and no purge names it.")
    return frontier.root(), signed


def _check_hole(row: log.LogRow, holes: dict[tuple[str, int], bytes]) -> None:
    """Note an event without its body; strike out those that this event, a purge, names."""
    if row.body is None:
        if row.kind not in purge.PURGEABLE:
            raise LogHalted(f"Row {row.seq}: a {row.kind} event is never purged, yet its body is gone.")
        holes[row.party, row.party_seq] = row.entry
    elif row.kind == purge.KIND:
        for number, entry in purge.read(parse_event(row.body)).emptied:
            if holes.pop((row.party, number), None) != entry:
                raise LogHalted(f"Row {row.seq}: it purged event {number} of {row.party}, whose body is there.")


def _check_checkpoint(signed: bytes, key: note.VerifierKey, frontier: merkle.Frontier) -> None:
    try:
        found = checkpoint.open_checkpoint(signed, origin=key.name, key=key)
    except LintasError as fault:
        raise LogHalted(f"The checkpoint of size {frontier.size} does not verify: {fault}") from fault
    if (found.size, found.root) != (frontier.size, frontier.root()):
        raise LogHalted(f"The checkpoint of size {frontier.size} is of another tree.")


def _check_cosignatures(conn: Connection) -> None:
    for found in cosignatures.every(conn):
        published = log.checkpoint_at(conn, found.size)
        if published is None:
            raise LogHalted(f"There are cosignatures on a checkpoint of size {found.size}, but no such checkpoint.")
        text, _ = note.split_note(published)
        for witness, line in found.lines.items():
            try:
                key = note.parse_vkey(witness, note.ALGORITHM_COSIGNATURE)
                is_good = check_cosignatures(*note.split_note(text + b"\n" + line.encode()), [key])
            except LintasError as fault:
                raise LogHalted(f"A cosignature on the checkpoint of size {found.size}: {fault}") from fault
            if not is_good:
                raise LogHalted(
                    f"A cosignature on the checkpoint of size {found.size} is by another than its row says."
                )


def _check_lines(conn: Connection) -> int:
    counted = 0
    for stored in lines.every(conn):
        counted += 1
        event = log.event_at(conn, stored.seq)
        if event is not None and (stored.raw is None) != (event.body is None):
            raise LogHalted(f"Line {stored.id}: its bytes and its event were not purged together.")
        if stored.raw is None:
            continue
        if line_id(stored.raw) != stored.id:
            raise LogHalted(f"Line {stored.id}: its bytes have another hash.")
        if event is None or not _is_of(event, stored):
            raise LogHalted(f"Line {stored.id}: the event at its index {stored.seq} is of another line.")
        if _columns(parse(stored.raw).header) != _stored_columns(stored):
            raise LogHalted(f"Line {stored.id}: the columns differ from its header.")
        if stored.typ == BULLETIN and _released(event) != lines.recipients(conn, stored.seq):
            raise LogHalted(f"Line {stored.id}: its recipients are not those that the log released it to.")
    return counted


def _is_of(event: log.EventRow, stored: lines.StoredLine) -> bool:
    if stored.typ != ACK:
        return event.object == stored.id
    # The object of an acknowledgement's event is the bulletin, so that its history is found together.
    return event.kind in ACK_KINDS and (event.body is None or stored.id in named(parse_object(event.body)))


def _released(event: log.EventRow) -> dict[str, str]:
    assert event.body is not None
    detail = parse_event(event.body).detail
    return dict.fromkeys(detail["released"], lines.RELEASED) | dict(detail["withheld"])


def _columns(header: Header) -> tuple[object, ...]:
    rank = tlp_rank(header.tlp) if header.tlp is not None else None
    return header.typ, header.iss, header.kid, header.exp, header.kind, header.topic, header.urgency, rank


def _stored_columns(stored: lines.StoredLine) -> tuple[object, ...]:
    facts = (stored.typ, stored.iss, stored.kid, stored.exp, stored.kind, stored.topic, stored.urgency)
    return (*facts, stored.tlp_rank)
