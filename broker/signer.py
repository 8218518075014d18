"""Signing of checkpoints, only over what was read back from the database.

After each commit the signer reads the new rows again, hashes body to entry to leaf to nodes, compares each with what
is stored and only then extends its own frontier and signs. A mismatch halts the log before a signature exists: a
public log once died of one flipped bit. Which keys sign is what those rows say, so all replicas change over at one
index. Its state (the verified frontier, the keys) is written by the writer's thread alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from broker.outside import Outside
from broker.store import log
from broker.store.engine import Connection, Store
from broker.wakeup import News
from lintas import checkpoint, merkle, note
from lintas.epoch import Former, read_former
from lintas.errors import BadNote, BadProof, LogBehind, LogHalted
from lintas.event import US_PER_S, entry_of, parse_event
from lintas.log_keys import LogKeys, opened
from lintas.receipt import Receipt, format_receipt

TAIL_ROWS = 10_000
"""Rows that are re-derived at start; `fsck` re-derives all."""


LOG_KEY_KINDS = frozenset({"log.opened", "log.key"})
"""The events that tell of the log's keys."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A batch under its checkpoint, with the tree nodes that receipts for its rows need. No database is asked again."""

    size: int
    note: bytes
    bodies: Mapping[int, bytes]
    nodes: Mapping[tuple[int, int], bytes]

    def receipt(self, seq: int) -> bytes:
        """Return the receipt of an event of this batch."""
        proof = merkle.inclusion_proof(seq, self.size, lambda wanted: [self.nodes[address] for address in wanted])
        return format_receipt(Receipt(index=seq, proof=tuple(proof), checkpoint=self.note, extra=self.bodies[seq]))


class LogSigner:
    """Holds the private keys of the log and the frontier it has verified."""

    def __init__(
        self,
        store: Store,
        key: note.SignerKey,
        outside: Outside,
        read_keys: Callable[[], Sequence[note.SignerKey]] = tuple,
    ) -> None:
        """Take the store to read back from and a key of the log; `start` must run before `sign_new`.

        `read_keys` gives all private keys there are now, when one is asked for that was not there yet.
        """
        self._store = store
        self._key = key
        self._outside = outside
        self._read_keys = read_keys
        self._held = {key.verifier: key}
        self._frontier = merkle.Frontier(0, ())
        self.log_keys = LogKeys.of(key.verifier)

    @property
    def origin(self) -> str:
        """The log's origin, which is the name of its keys."""
        return self._key.name

    @property
    def verifier(self) -> note.VerifierKey:
        """The newest key of the log."""
        return self.log_keys.newest

    def holds(self, key: note.VerifierKey) -> bool:
        """Tell whether the private half of this key is there, so that it can sign."""
        if key not in self._held:
            self._held |= {each.verifier: each for each in self._read_keys()}
        return key in self._held

    def start(self, progress: Callable[[int], None] | None = None, *, rows_max: int = TAIL_ROWS) -> None:
        """Check the newest checkpoint and re-derive up to `rows_max` newest rows; raise LogHalted on any mismatch.

        Rows after the newest checkpoint (a crash between commit and signature) are left for `sign_new`. Raises
        LogBehind when the database does not extend the checkpoint that is kept outside it.
        """
        # Read before the snapshot: beside a hub that serves, or another replica that keeps newer ones in the same
        # place, it would else be newer than what it is compared with.
        kept = self._outside.read()
        with self._store.read() as conn:
            newest = log.newest_checkpoint(conn)
            size = newest[0] if newest else 0
            self._learn_keys(conn)
            start = max(0, size - rows_max)
            frontier = derive(conn, log.frontier(conn, start), start, size, progress)
            if newest is not None:
                signed = checkpoint.open_checkpoint(newest[1], origin=self.origin, key=self.log_keys)
                if (signed.size, signed.root) != (frontier.size, frontier.root()):
                    raise LogHalted(f"The checkpoint of size {size} does not fit the rows.")
            self._check_outside(conn, kept)
        self._frontier = frontier

    def _learn_keys(self, conn: Connection) -> None:
        known = read_keys(conn)
        if known is None:
            return
        if self._key.verifier not in known.keys:
            raise LogHalted("The key in the key file is none of this log's: put the right file back.")
        self.log_keys = known
        self._signers([known.newest])

    def _check_outside(self, conn: Connection, kept: bytes | None) -> None:
        if kept is None:
            return
        # Of a later time it may be by a key that this database does not tell of yet.
        seen, _ = checkpoint.open_by_any(kept, {*self.log_keys.keys, *(each.verifier for each in self._read_keys())})
        size, _ = log.head(conn)
        if size < seen.size:
            raise LogBehind(f"The log has {size} rows, yet {seen.size} were published: {seen.size - size} missing.")
        if log.frontier(conn, seen.size).root() != seen.root:
            raise LogBehind(f"The log is another one than was published at size {seen.size}.")

    def sign_new(self, news: News | None = None) -> Signed | None:
        """Verify the rows committed since the last call, sign and keep a checkpoint; None when there are none.

        `news` is what these rows brought, told to other replicas with the checkpoint.
        """
        before = self._frontier
        nodes = dict(zip(merkle.frontier_nodes(before.size), before.roots, strict=True))
        bodies: dict[int, bytes] = {}
        with self._store.read() as conn:
            size, _ = log.head(conn)
            if size == before.size:
                return None
            frontier, keys, second = before, self.log_keys, 0
            for row in log.rows(conn, before.size, size):
                frontier, second = extend(frontier, row), row.time // US_PER_S
                keys = follow(keys, row.kind, row.seq, row.body) or keys
                bodies[row.seq] = row.body or b""
                nodes.update(_addressed(row))
        if frontier.size != size:
            raise LogHalted(f"Row {frontier.size} is missing.")
        signed = self._sign(frontier, self._signers(keys.signing(size, second)), news or News())
        self._frontier, self.log_keys = frontier, keys
        return Signed(size=size, note=signed, bodies=bodies, nodes=nodes)

    def _signers(self, wanted: Sequence[note.VerifierKey]) -> list[note.SignerKey]:
        for key in wanted:
            if not self.holds(key):
                # Nothing is signed with fewer keys than the log says: a replica that has them all signs these rows.
                raise LogHalted(
                    f"The log is signed with the key {key.key_id.hex()} now, which is not in this hub's key file: put "
                    "that line of another replica's log.key into it, then start again."
                )
        return [self._held[key] for key in wanted]

    def _sign(self, frontier: merkle.Frontier, keys: Sequence[note.SignerKey], news: News) -> bytes:
        text = checkpoint.format_checkpoint(
            checkpoint.Checkpoint(origin=self.origin, size=frontier.size, root=frontier.root())
        )
        signed = note.sign_note(text, *keys)
        # Kept before anybody sees it: a receipt asked for again is then the same bytes. Lazily: a power cut that takes
        # it with it leaves the log at just this size, the next commit would have taken it to the disk, and the next
        # start signs the rows again, in the same bytes.
        with self._store.write_lazily() as conn:
            if log.add_checkpoint(conn, frontier.size, signed) != signed:
                # Ed25519 signs the same text the same way: another note is another root or another key.
                raise LogHalted(f"Another checkpoint of size {frontier.size} was signed: this log has forked.")
            # With the signature, not with the rows: nobody is called to what a halted log would take back. Kept and
            # told in one transaction: a replica that dies before it leaves rows which the next batch of another one
            # signs and tells, after it nothing is left to tell.
            self._store.notify(conn, news.text(frontier.size))
            # Before the commit that publishes it: what is kept outside is never behind what anybody saw.
            self._outside.keep(signed)
        return signed


def read_keys(conn: Connection) -> LogKeys | None:
    """Return the keys that the events of a log tell of, None for an empty one; raise LogHalted."""
    known = None
    for row in log.events_of_kinds(conn, LOG_KEY_KINDS, after=-1):
        known = follow(known, row.kind, row.seq, row.body)
    return known


def read_end(conn: Connection) -> Former | None:
    """Return where the epoch before this one ended, None for a first one or an empty log; raise LogHalted."""
    first = log.event_at(conn, 0)
    if first is None:
        return None
    try:
        return read_former(parse_event(first.body or b"").detail)
    except BadProof as fault:
        raise LogHalted(f"Row 0: {fault}") from fault


def follow(known: LogKeys | None, kind: str, seq: int, body: bytes | None) -> LogKeys | None:
    """Return the keys after a stored event, which may tell of one; raise LogHalted for a key out of place."""
    if kind not in LOG_KEY_KINDS:
        return known
    try:
        detail = parse_event(body or b"").detail
        return opened(detail) if known is None or kind == "log.opened" else known.then(seq, detail)
    except (BadNote, BadProof) as fault:
        raise LogHalted(f"Row {seq}: {fault}") from fault


def derive(
    conn: Connection,
    frontier: merkle.Frontier,
    start: int,
    stop: int,
    progress: Callable[[int], None] | None = None,
) -> merkle.Frontier:
    """Re-derive the rows start <= seq < stop from their bodies; raise LogHalted naming the first that does not fit."""
    for row in log.rows(conn, start, stop):
        frontier = extend(frontier, row)
        if progress is not None:
            progress(row.seq)
    if frontier.size != stop:
        raise LogHalted(f"Row {frontier.size} is missing.")
    return frontier


def extend(frontier: merkle.Frontier, row: log.LogRow) -> merkle.Frontier:
    """Add one stored row to a verified frontier; raise LogHalted unless everything in the row fits."""
    if row.seq != frontier.size:
        raise LogHalted(f"Row {frontier.size} is missing.")
    if row.body is not None and entry_of(row.body) != row.entry:
        raise LogHalted(f"Row {row.seq}: the event body is not the one that was logged.")
    extended, nodes = frontier.append(merkle.leaf_hash(row.entry))
    if nodes != row.nodes:
        raise LogHalted(f"Row {row.seq}: the stored tree nodes are not those of the entries.")
    if row.body is not None:
        _check_columns(row, row.body)
    return extended


def _check_columns(row: log.LogRow, body: bytes) -> None:
    # Queries trust the columns beside the body, so they must say what the body says.
    try:
        event = parse_event(body)
    except BadProof as fault:
        raise LogHalted(f"Row {row.seq}: {fault}") from fault
    stored = (row.time, row.kind, row.party, row.party_seq, row.object)
    if stored != (event.time, event.kind, event.party, event.party_seq, event.object):
        raise LogHalted(f"Row {row.seq}: the columns differ from the event body.")


def _addressed(row: log.LogRow) -> Sequence[tuple[tuple[int, int], bytes]]:
    size = merkle.HASH_BYTES
    levels = range(len(row.nodes) // size)
    return [((level, ((row.seq + 1) >> level) - 1), row.nodes[level * size : (level + 1) * size]) for level in levels]
