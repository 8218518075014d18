"""Beginning a hub's log anew, in the epoch after one whose key or rows are lost.

The new hub has an empty database, a key of its own, the name of the former. What it takes over comes from the former
database, or a backup of it, as far as that follows from the quoted checkpoint: the directory, so that partners need
not enrol anew, and which lines were accepted, so that none is taken for new. Everything else stays where it was. All
is written in one transaction, and replayed before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from broker.batch import Batch, Head
from broker.catchup import replay
from broker.hub import begin_log, make_log_key
from broker.settings import Settings
from broker.signer import LOG_KEY_KINDS, derive, follow
from broker.store import cosignatures, former, lines, log, migrate
from broker.store.engine import Connection, Store
from broker.witnesses import newest_witnessed
from lintas import merkle
from lintas.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from lintas.clock import Clock, now_us
from lintas.directory import CONTROL_KINDS, Directory
from lintas.epoch import Carried, Former, goes_on, read_carried, read_former, split_origin
from lintas.errors import BadProof, BadSettings, LogHalted, NotWitnessed
from lintas.event import KINDS, Event, parse_event
from lintas.line import parse
from lintas.log_keys import LogKeys
from lintas.note import VerifierKey, split_note
from lintas.quorum import Policy, for_log, judge
from lintas.receipt import ACK_KINDS

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """A former epoch up to the checkpoint at which it ends, verified; `note` is that, `key` the one it needs.

    `void` are the events of the directory that came after it.
    """

    note: bytes
    witnesses: tuple[str, ...]
    tree: Checkpoint
    key: VerifierKey
    directory: Directory
    carried: tuple[Carried, ...]
    raw: dict[str, bytes]
    void: tuple[Event, ...]
    size: int

    @property
    def epoch(self) -> int:
        """The number of the epoch that has ended."""
        return split_origin(self.tree.origin)[1]


@dataclass(frozen=True, slots=True)
class Begun:
    """A new epoch: the key of its log, and where the former one ended."""

    key: VerifierKey
    ended: Ended


def begin(
    settings: Settings,
    source: str,
    *,
    quoted: bytes | None = None,
    policy: Policy | None = None,
    clock: Clock = now_us,
    progress: Progress = lambda _done, _all: None,
) -> Begun:
    """Begin the epoch after that of the database `source` (a file or an address) in the empty one of the settings.

    `quoted` is the checkpoint at which the former epoch ends: by default the newest one that witnesses of `policy`
    cosigned, without a policy the newest. Raises LogHalted when the database does not follow from it, NotWitnessed
    when the policy asks for more; then nothing was made.
    """
    if settings.checkpoint.exists():
        raise BadSettings(f"{settings.checkpoint} is of another log: move it away, it is evidence.")
    if "://" not in source and not Path(source).is_file():
        raise BadSettings(f"There is no database or backup at {source}.")
    with (
        closing(Store(source if "://" in source else f"sqlite:///{source}")) as store,
        store.read() as rows,
    ):
        migrate.check_current(rows)
        ended = _verify(rows, quoted, policy, progress)
        key = make_log_key(settings, ended.directory.hub, epoch=ended.epoch + 1)
        begin_log(settings, key, lambda conn: _write(conn, rows, ended, key.verifier, clock()))
    return Begun(key.verifier, ended)


def show(begun: Begun, write: Callable[[str], object]) -> None:
    """Write what was begun and what it leaves out, a line a fact."""
    ended, directory = begun.ended, begun.ended.directory
    write(f"former     {ended.tree.origin} ends at {ended.tree.size} entries, root {ended.tree.root.hex()}")
    write(f"witnessed  {', '.join(ended.witnesses) or 'by nobody: no policy was given'}")
    write(f"hub        {directory.hub}")
    write(f"log key    {begun.key.text()}")
    write(f"carried    {len(directory.partners)} agencies, {len(directory.admins)} administrators")
    write(f"void       {ended.size - ended.tree.size} entries after that end")
    for event in ended.void:
        # Nobody vouches for these rows: nothing in them may move the cursor.
        told = f"{event.kind} {event.detail.get('agency', event.party)} {event.object}"
        write(f"  to be ordered again if it was right: {''.join(filter(str.isprintable, told))}")


def _verify(rows: Connection, quoted: bytes | None, policy: Policy | None, progress: Progress) -> Ended:
    keys = _keys(rows)
    note = quoted if quoted is not None else _newest(rows, policy)
    size, _ = log.head(rows)
    claimed = parse_checkpoint(split_note(note)[0].decode())
    if claimed.size > size:
        raise LogHalted(f"The checkpoint has {claimed.size} entries, the database {size}: name one that it reaches.")
    tree = open_checkpoint(note, origin=keys.name, key=keys)
    vouched = judge(note, key=keys, policy=for_log(policy or Policy(), *keys.keys))
    if policy is not None and not vouched.is_enough:
        raise NotWitnessed("The checkpoint lacks cosignatures that the policy asks for.")
    frontier = derive(rows, merkle.Frontier(0, ()), 0, tree.size, lambda seq: progress(seq + 1, tree.size))
    if frontier.root() != tree.root:
        raise LogHalted(f"The database is of another log than the checkpoint of {tree.size} entries.")
    control = log.events_of_kinds(rows, CONTROL_KINDS, after=-1)
    before = [row for row in control if row.seq < tree.size]
    raw = lines.by_ids(rows, {row.object for row in before if row.object is not None})
    events = [(row.seq, parse_event(row.body or b"")) for row in before]
    earlier = read_former(events[0][1].detail)
    repeats = 0 if earlier is None else earlier.carried
    return Ended(
        note=note,
        witnesses=vouched.names,
        tree=tree,
        key=keys.at(tree.size),
        directory=replay(before, raw),
        carried=tuple(replace(read_carried(event, seq, repeats), seq=seq) for seq, event in events if goes_on(event)),
        raw=raw,
        void=tuple(_void(control, tree.size)),
        size=size,
    )


def _keys(rows: Connection) -> LogKeys:
    known: LogKeys | None = None
    for row in log.events_of_kinds(rows, LOG_KEY_KINDS, after=-1):
        known = follow(known, row.kind, row.seq, row.body)
    if known is None:
        raise LogHalted("The former database has no log.")
    return known


def _newest(rows: Connection, policy: Policy | None) -> bytes:
    if policy is not None:
        return newest_witnessed(rows, policy)[1]
    newest = log.newest_checkpoint(rows)
    if newest is None:
        raise LogHalted("The former database has no checkpoint.")
    # With whatever cosignatures there are: partners judge them by policies of their own.
    return newest[1] + "".join(cosignatures.at(rows, newest[0]).lines.values()).encode()


def _void(control: list[log.EventRow], size: int) -> Iterator[Event]:
    # What comes after the quoted checkpoint is shown, never believed: nothing of it was verified.
    for row in control:
        if row.seq >= size and row.kind != "order.accepted":
            detail: Mapping[str, Any] = {}
            with suppress(BadProof):
                detail = parse_event(row.body or b"").detail
            yield Event(row.kind, row.time, row.party, row.party_seq, row.object, detail)


def _write(conn: Connection, rows: Connection, ended: Ended, key: VerifierKey, now: int) -> None:
    former.add(conn, former.every(rows))
    former.add(conn, _accepted(rows, ended))
    batch = Batch(conn, Head.load(conn), Directory(ended.directory.hub), now_us=now)
    quote = Former(ended.note, ended.key, len(ended.carried), former.digest(conn))
    detail = {"hub": ended.directory.hub, "log_key": key.text(), "former": quote.detail()}
    batch.append("log.opened", "*", detail=detail)
    kept: set[str | None] = set()
    for each in ended.carried:
        seq = batch.append(each.kind, each.party, object_id=each.object, detail=each.detail_now())
        if each.object not in kept:
            kept.add(each.object)
            batch.keep(parse(ended.raw[each.object or ""]), seq)
    batch.finish()
    # What every partner will do: nothing is committed that they would refuse.
    replay(log.events_of_kinds(conn, CONTROL_KINDS, after=-1), ended.raw)


def _accepted(rows: Connection, ended: Ended) -> Iterator[dict[str, Any]]:
    """Yield the lines that the ended epoch accepted, each with the entry of the event that says so."""
    for row in log.rows(rows, 0, ended.tree.size):
        named = row.object
        if row.kind in ACK_KINDS:
            # Its object is the bulletin. One that was purged is too old to be taken for new.
            named = None if row.body is None else parse_event(row.body).detail["ack"]
        elif KINDS[row.kind] != "accepted":
            named = None
        if named is not None:
            entry = None if row.body is None else row.entry
            yield {"epoch": ended.epoch, "seq": row.seq, "id": named, "entry": entry}
