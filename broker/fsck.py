"""Re-deriving everything from the rows until the first fault.

Checked: every event body against its entry, every entry against the tree, the columns beside a body, every checkpoint
against the tree of its size and the log's keys of its time, every cosignature against its checkpoint, gapless numbering
per party, every missing body against the purge that names it, every stored line against its id, its columns, what it
refers to and the event that accepted it, who it went to against the events that say so, the directory against the lines
behind it, the counts of the console against the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from broker.catchup import replay
from broker.intake import PART
from broker.signer import extend, follow, read_end, read_keys
from broker.store import cosignatures, delivery, lines, log, rollup
from broker.store import former as formers
from broker.store.engine import Connection, Store
from lintas import bulletin, checkpoint, merkle, note, purge
from lintas.cosignature import check_cosignatures
from lintas.directory import CONTROL_KINDS
from lintas.errors import BadSettings, LintasError, LogHalted
from lintas.event import US_PER_S, parse_event
from lintas.header import ACK, BULLETIN, Header
from lintas.line import Line, line_id, parse
from lintas.log_keys import LogKeys
from lintas.receipt import ACK_KINDS, named
from lintas.strict import parse_object
from lintas.vocabulary import tlp_rank


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked: the tree's size and root, and how many checkpoints and lines fit it.

    `origin` is the log's, `former` the tree at which the epoch before it ended.
    """

    size: int
    root: bytes
    checkpoints: int
    lines: int
    origin: str
    former: checkpoint.Checkpoint | None


def check_everything(store: Store, key: note.VerifierKey, progress: Callable[[int, int], None]) -> Report:
    """Check the whole database; raise LogHalted naming the first fault. `progress` gets rows done and rows in all.

    Raise BadSettings when all of it is sound but the console's counts, which `migrate --recount` makes. `key` is one
    that the log has, or had: the log tells of the others.
    """
    with store.read() as conn:
        size, _ = log.head(conn)
        notes = log.checkpoints(conn)
        root, signed = _check_log(conn, key, notes, lambda done: progress(done, size))
        _check_cosignatures(conn)
        counted = _check_lines(conn)
        _check_readers(conn)
        former = _check_former(conn)
        rows = log.events_of_kinds(conn, CONTROL_KINDS, after=-1)
        try:
            replay(rows, lines.by_ids(conn, {row.object for row in rows if row.object is not None}))
        except LintasError as fault:
            raise LogHalted(f"The directory does not follow from its lines: {fault}") from fault
        if not rollup.fits(conn):
            raise BadSettings("The log is sound, the console's counts are not: run `lintas-broker migrate --recount`.")
    return Report(size=size, root=root, checkpoints=signed, lines=counted, origin=key.name, former=former)


def _check_log(
    conn: Connection, key: note.VerifierKey, notes: Iterator[tuple[int, bytes]], progress: Callable[[int], None]
) -> tuple[bytes, int]:
    size, _ = log.head(conn)
    frontier = merkle.Frontier(0, ())
    keys, known = LogKeys.of(key), read_keys(conn)
    if known is not None and key not in known.keys:
        raise LogHalted("The log has another key than the one given.")
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
        keys = follow(keys, row.kind, row.seq, row.body) or keys
        if pending is not None and pending[0] == frontier.size:
            _check_checkpoint(pending[1], keys, frontier, row.time // US_PER_S)
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


def _check_checkpoint(signed: bytes, keys: LogKeys, frontier: merkle.Frontier, second: int) -> None:
    try:
        found, signers = checkpoint.open_by_any(signed, keys.keys)
    except LintasError as fault:
        raise LogHalted(f"The checkpoint of size {frontier.size} does not verify: {fault}") from fault
    if signers != {*keys.signing(frontier.size, second)}:
        raise LogHalted(f"The checkpoint of size {frontier.size} is not signed with the keys of its time.")
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
        if event is not None and stored.at != event.time // US_PER_S:
            raise LogHalted(f"Line {stored.id}: the columns differ from the event that accepted it.")
        if stored.raw is None:
            continue
        if line_id(stored.raw) != stored.id:
            raise LogHalted(f"Line {stored.id}: its bytes have another hash.")
        if event is None or not _is_of(event, stored):
            raise LogHalted(f"Line {stored.id}: the event at its index {stored.seq} is of another line.")
        line = parse(stored.raw)
        if _columns(line.header) != _stored_columns(stored):
            raise LogHalted(f"Line {stored.id}: the columns differ from its header.")
        if stored.typ == BULLETIN:
            _check_bulletin(conn, stored, line, event)
    return counted


def _check_bulletin(conn: Connection, stored: lines.StoredLine, line: Line, event: log.EventRow) -> None:
    if _released(event) != lines.recipients(conn, stored.seq):
        raise LogHalted(f"Line {stored.id}: its recipients are not those that the log released it to.")
    for agency, seq in lines.released_seqs(conn, stored.seq).items():
        release = log.event_at(conn, seq)
        if release is None or not _names(release, agency, stored.seq):
            raise LogHalted(f"Line {stored.id}: the event at index {seq} does not release it to {agency}.")
    content = None if line.header.enc is not None else bulletin.parse(line.payload, kind=line.header.kind or "")
    is_partial = content is not None and bulletin.is_partial_recall(content)
    refs = {_stored_ref(ref, is_partial=is_partial) for ref in line.header.refs}
    if refs != lines.said(conn, stored.seq):
        raise LogHalted(f"Line {stored.id}: what is stored of its `refs` is not what it says.")
    # Whether it withdraws something follows from grants of that time; only that it can is derived here.
    withdraws = stored.withdraws and not line.header.targets("recalls", "supersedes")
    if withdraws or stored.is_personal != (content is None or bulletin.has_person_data(content)):
        raise LogHalted(f"Line {stored.id}: the columns differ from its content.")


def _names(release: log.EventRow, agency: str, seq: int) -> bool:
    if (release.kind, release.party) != ("bulletin.released", agency):
        return False
    return release.body is None or seq in parse_event(release.body).detail["seqs"]


def _stored_ref(ref: str, *, is_partial: bool) -> tuple[str, str]:
    relation, target = ref.split(":", 1)
    return (PART if relation == "recalls" and is_partial else relation), target


def _check_readers(conn: Connection) -> None:
    for find, fault in (
        (delivery.unsent, "no event sent it to"),
        (delivery.unreceived, "no event says that it was received by"),
        (delivery.unsaid, "no event has the acknowledgement by"),
    ):
        found = find(conn)
        if found is not None:
            raise LogHalted(f"The bulletin at index {found.seq}: {fault} {found.agency}, yet a row says so.")


def _check_former(conn: Connection) -> checkpoint.Checkpoint | None:
    ended = read_end(conn)
    if ended is None:
        if formers.is_any(conn):
            raise LogHalted("There are lines of a former epoch, yet this is the first.")
        return None
    if formers.digest(conn) != ended.lines:
        raise LogHalted("The lines of former epochs are not those that the first event names.")
    try:
        return ended.tree()
    except LintasError as fault:
        raise LogHalted(f"The checkpoint at which the former epoch ended does not verify: {fault}") from fault


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
