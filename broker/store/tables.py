"""The tables of the hub.

All are insert-only except `invite` and `invite_try`; triggers refuse UPDATE and DELETE of `log` and `checkpoint`
(see migrations). Whatever can be derived (state of a bulletin, partners, keys, grants) has no table.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    Table,
    Text,
    TypedColumns,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_INDEX = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit integer; spelt INTEGER on SQLite so that a primary key is the row id itself and needs no second index."""


class _LineColumns(TypedColumns):
    """A stored line; `seq` is the log index of the event that accepted it."""

    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    id: Named[str] = Column(Text, unique=True)
    typ: Named[str] = Column(Text)
    raw: Named[bytes] = Column(LargeBinary)
    iss: Named[str] = Column(Text)
    kid: Named[str] = Column(Text)
    at: Named[int] = Column(BigInteger)
    exp: Named[int | None] = Column(BigInteger)
    kind: Named[str | None] = Column(Text)
    topic: Named[str | None] = Column(Text)
    tlp_rank: Named[int | None] = Column(BigInteger)
    withdraws: Named[bool]


line = Table("line", metadata, _LineColumns, Index(None, "iss", "seq"))


class _RecipientColumns(TypedColumns):
    """Who a bulletin was addressed to: released (with the index of that event) or withheld, frozen at acceptance."""

    agency: Named[str] = Column(Text, primary_key=True)
    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    state: Named[str] = Column(Text)
    released_seq: Named[int | None] = Column(BigInteger)


recipient = Table("recipient", metadata, _RecipientColumns, Index(None, "seq"))


class _RefColumns(TypedColumns):
    """A bulletin (`seq`) that says something of an earlier one (`target`)."""

    target: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    relation: Named[str] = Column(Text, primary_key=True)
    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)


ref = Table("ref", metadata, _RefColumns)


class _InviteColumns(TypedColumns):
    """The secret of an invitation (SHA-256 of its code); the rest of it is in the log."""

    id: Named[str] = Column(Text, primary_key=True)
    secret: Named[bytes] = Column(LargeBinary)


invite = Table("invite", metadata, _InviteColumns)


class _InviteTryColumns(TypedColumns):
    """Failed tries of an invitation's code, by address."""

    invite: Named[str] = Column(Text, primary_key=True)
    source: Named[str] = Column(Text, primary_key=True)
    tries: Named[int] = Column(BigInteger)


invite_try = Table("invite_try", metadata, _InviteTryColumns)


class _LogColumns(TypedColumns):
    """One leaf: its entry and the roots of the perfect subtrees it completes, 32 bytes each, lowest first."""

    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    entry: Named[bytes] = Column(LargeBinary)
    nodes: Named[bytes] = Column(LargeBinary)


log = Table("log", metadata, _LogColumns)


class _EventColumns(TypedColumns):
    """The body behind a leaf, with the columns that queries need. `time` is Unix microseconds."""

    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    time: Named[int] = Column(BigInteger)
    kind: Named[str] = Column(Text)
    party: Named[str] = Column(Text)
    party_seq: Named[int] = Column(BigInteger)
    object: Named[str | None] = Column(Text)
    body: Named[bytes | None] = Column(LargeBinary)


event = Table(
    "event",
    metadata,
    _EventColumns,
    UniqueConstraint("party", "party_seq"),
    Index(None, "party", "seq"),
    Index(None, "kind", "seq"),
    Index(None, "object", "seq"),
    Index(None, "time"),
)


class _CheckpointColumns(TypedColumns):
    """A signed checkpoint, as it was published."""

    size: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    note: Named[bytes] = Column(LargeBinary)


checkpoint = Table("checkpoint", metadata, _CheckpointColumns)
