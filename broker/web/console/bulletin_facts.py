"""What is known of one bulletin without its content: signature, standing, recipients, readers, thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.delivery import GONE
from broker.readers import Readers, readers_for_review
from broker.standing import Standing, reader, stand
from broker.store import lines
from broker.store.engine import Connection
from broker.store.lines import StoredLine
from broker.threads import connected
from lintas.directory import Directory, KeyRecord
from lintas.errors import LintasError
from lintas.header import Header
from lintas.line import check, parse

STEPS = ("released", "sent", "received", "opened", "acknowledged")
"""The way of a bulletin to a reader, in order."""

THREAD_SHOWN = 200
RECALLING = ("recalls", "recalls-part", "supersedes")
GONE_CODES = frozenset(each.code for each in GONE.values())


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed it, with which key; `is_good` says that it was checked now. `was_active`: the key might sign then.

    `state` is the key's state now; later states change nothing about what was signed before.
    """

    key: KeyRecord
    state: str
    is_good: bool
    was_active: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """A bulletin as a page shows it. `header` and `signature` are None once it is purged.

    `recipients` with their state (released, or why not), `readers` None for all but originator and administrators.
    `said` is what it says of others and others of it: relation, id, whether the other one is later.
    """

    row: StoredLine
    standing: Standing
    header: Header | None
    signature: Signature | None
    recipients: Mapping[str, str]
    readers: Readers | None
    thread: Sequence[tuple[StoredLine, Standing]]
    is_cut: bool
    said: Sequence[tuple[str, str, bool]]
    size_bytes: int

    @property
    def is_sealed(self) -> bool:
        """Tell whether only its readers can open it."""
        return self.header is not None and self.header.enc is not None


def read(conn: Connection, directory: Directory, row: StoredLine, agency: str | None, *, now: int) -> Facts:
    """Read what an agency, or with None an administrator, may know of a bulletin that it may know of."""
    header = None if row.raw is None else parse(row.raw).header
    who = None if agency is None else reader(directory, agency)
    is_mine = agency in (None, row.iss)
    thread, is_cut = connected(conn, who, row)
    shown = [each for each in thread if each.seq != row.seq][-THREAD_SHOWN:]
    standings = stand(conn, directory, [row, *shown], now=now)
    known = {each.id for each in thread}
    said = [(relation, target, False) for relation, target in sorted(lines.said(conn, row.seq))]
    said += [(each.relation, each.id, True) for each in lines.references(conn, [row.seq])]
    return Facts(
        row=row,
        standing=standings[row.seq],
        header=header,
        signature=_signature(directory, row, now),
        recipients=_recipients(conn, row, header, is_mine=is_mine),
        readers=readers_for_review(conn, directory, row) if is_mine else None,
        thread=[(each, standings[each.seq]) for each in shown],
        is_cut=is_cut or len(thread) > THREAD_SHOWN + 1,
        # A reference to what one may not read is not told: it would say that it exists.
        said=[each for each in said if each[1] in known],
        size_bytes=len(row.raw or b""),
    )


def _recipients(conn: Connection, row: StoredLine, header: Header | None, *, is_mine: bool) -> dict[str, str]:
    if is_mine:
        return dict(sorted(lines.recipients(conn, row.seq).items()))
    # A reader knows the names that were signed, not who of them may read.
    return dict.fromkeys(header.release_to if header else (), "named")


def _signature(directory: Directory, row: StoredLine, now: int) -> Signature | None:
    key = directory.keys.get(row.kid)
    if row.raw is None or key is None:
        return None
    line = parse(row.raw)
    try:
        check(line, key.public)
        is_good = True
    except LintasError:
        is_good = False
    return Signature(key, key.state(now), is_good, key.was_active(row.seq, line.header.iat))
