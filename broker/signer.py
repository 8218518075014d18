"""Signing of checkpoints, only over what was read back from the database.

After each commit the signer reads the new rows again, hashes body to entry to leaf to nodes, compares each with what
is stored and only then extends its own frontier and signs. A mismatch halts the log before a signature exists: a
public log once died of one flipped bit. Its state (the verified frontier) is written by the writer's thread alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from broker.outside import Outside
from broker.store import log
from broker.store.engine import Connection, Store
from lintas import checkpoint, merkle, note
from lintas.errors import BadProof, LogBehind, LogHalted
from lintas.event import entry_of, parse_event
from lintas.receipt import Receipt, format_receipt

TAIL_ROWS = 10_000
"""Rows that are re-derived at start; `fsck` re-derives all."""


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
    """Holds the log key and the frontier it has verified."""

    def __init__(self, store: Store, key: note.SignerKey, outside: Outside) -> None:
        """Take the store to read back from; `start` must run before `sign_new`."""
        self._store = store
        self._key = key
        self._outside = outside
        self._frontier = merkle.Frontier(0, ())

    @property
    def origin(self) -> str:
        """The log's origin, which is the name of its key."""
        return self._key.name

    @property
    def verifier(self) -> note.VerifierKey:
        """The key that verifies what this signer signs."""
        return self._key.verifier

    def start(self, progress: Callable[[int], None] | None = None, *, rows_max: int = TAIL_ROWS) -> None:
        """Check the newest checkpoint and re-derive up to `rows_max` newest rows; raise LogHalted on any mismatch.

        Rows after the newest checkpoint (a crash between commit and signature) are left for `sign_new`. Raises
        LogBehind when the database does not extend the checkpoint that is kept outside it.
        """
        with self._store.read() as conn:
            newest = log.newest_checkpoint(conn)
            size = newest[0] if newest else 0
            start = max(0, size - rows_max)
            frontier = derive(conn, log.frontier(conn, start), start, size, progress)
            if newest is not None:
                signed = checkpoint.open_checkpoint(newest[1], origin=self.origin, key=self.verifier)
                if (signed.size, signed.root) != (frontier.size, frontier.root()):
                    raise LogHalted(f"The checkpoint of size {size} does not fit the rows.")
            self._check_outside(conn)
        self._frontier = frontier

    def _check_outside(self, conn: Connection) -> None:
        kept = self._outside.read()
        if kept is None:
            return
        seen = checkpoint.open_checkpoint(kept, origin=self.origin, key=self.verifier)
        size, _ = log.head(conn)
        if size < seen.size:
            raise LogBehind(f"The log has {size} rows, yet {seen.size} were published: {seen.size - size} missing.")
        if log.frontier(conn, seen.size).root() != seen.root:
            raise LogBehind(f"The log is another one than was published at size {seen.size}.")

    def sign_new(self) -> Signed | None:
        """Verify the rows committed since the last call, sign and keep a checkpoint; None when there are none."""
        before = self._frontier
        nodes = dict(zip(merkle.frontier_nodes(before.size), before.roots, strict=True))
        bodies: dict[int, bytes] = {}
        with self._store.read() as conn:
            size, _ = log.head(conn)
            if size == before.size:
                return None
            frontier = before
            for row in log.rows(conn, before.size, size):
                frontier = extend(frontier, row)
                bodies[row.seq] = row.body or b""
                nodes.update(_addressed(row))
        if frontier.size != size:
            raise LogHalted(f"Row {frontier.size} is missing.")
        signed = self._sign(frontier)
        self._frontier = frontier
        return Signed(size=size, note=signed, bodies=bodies, nodes=nodes)

    def _sign(self, frontier: merkle.Frontier) -> bytes:
        text = checkpoint.format_checkpoint(
            checkpoint.Checkpoint(origin=self.origin, size=frontier.size, root=frontier.root())
        )
        signed = note.sign_note(text, self._key)
        # Kept before anybody sees it: a receipt asked for again is then the same bytes. Lazily: a power cut that takes
        # it with it leaves the log at just this size, the next commit would have taken it to the disk, and the next
        # start signs the rows again, in the same bytes.
        with self._store.write_lazily() as conn:
            kept = log.add_checkpoint(conn, frontier.size, signed)
        if kept != signed:
            # Ed25519 signs the same text the same way: another note is another root or another key.
            raise LogHalted(f"Another checkpoint of size {frontier.size} was signed: this log has forked.")
        self._outside.keep(signed)
        return signed


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
