"""The tables of the hub.

Lines, recipients and references are inserted and never changed, except that a purge empties `line.raw` and
`event.body`; triggers refuse UPDATE and DELETE of `log`, `checkpoint` and `cosignature` (see migrations). What readers
hold (cursors, webhooks, watch lists) changes in place. What can be derived (state of a bulletin, partners, keys,
grants) has no table.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
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
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(conn: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that leaves out rows whose key is there already."""
    return _insert_new(conn.dialect.name, table)


@cache
def _insert_new(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


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
    """A stored line; `seq` is the log index of the event that accepted it. `raw` is None after a purge.

    `is_personal`: a bulletin with person data, or sealed so that nobody but its readers can tell.
    """

    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    id: Named[str] = Column(Text, unique=True)
    typ: Named[str] = Column(Text)
    raw: Named[bytes | None] = Column(LargeBinary)
    iss: Named[str] = Column(Text)
    kid: Named[str] = Column(Text)
    at: Named[int] = Column(BigInteger)
    exp: Named[int | None] = Column(BigInteger)
    kind: Named[str | None] = Column(Text)
    topic: Named[str | None] = Column(Text)
    urgency: Named[str | None] = Column(Text)
    tlp_rank: Named[int | None] = Column(BigInteger)
    withdraws: Named[bool]
    is_personal: Named[bool]


line = Table("line", metadata, _LineColumns, Index(None, "iss", "seq"), Index(None, "kind", "exp"))
# What is left to expire or to be purged: the walk over it does not grow with what was purged already.
Index("ix_line_exp", line.c.exp, sqlite_where=line.c.raw.is_not(None), postgresql_where=line.c.raw.is_not(None))


class _FormerLineColumns(TypedColumns):
    """A line that the log accepted in a former epoch, at index `seq` of it; `entry` is of the event that says so.

    `entry` is None for what was purged and may not come back.
    """

    epoch: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    seq: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    id: Named[str] = Column(Text)
    entry: Named[bytes | None] = Column(LargeBinary)


former_line = Table("former_line", metadata, _FormerLineColumns, Index(None, "id"))


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


ref = Table("ref", metadata, _RefColumns, Index(None, "seq"))


class _DeliveryColumns(TypedColumns):
    """A bulletin (`seq`) on its way to an agency: the events that sent it and that moved the agency's cursor past it.

    `way` is how it went: ``fetch``, or the name of the subscription that gave it.
    """

    agency: Named[str] = Column(Text, primary_key=True)
    way: Named[str] = Column(Text, primary_key=True)
    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    sent_seq: Named[int] = Column(BigInteger)
    received_seq: Named[int | None] = Column(BigInteger)


delivery = Table("delivery", metadata, _DeliveryColumns, Index(None, "seq"))
Index(
    "ix_delivery_unreceived",
    delivery.c.agency,
    delivery.c.way,
    delivery.c.seq,
    sqlite_where=delivery.c.received_seq.is_(None),
    postgresql_where=delivery.c.received_seq.is_(None),
)


class _AckColumns(TypedColumns):
    """What a reader's client signed of a bulletin (`seq`): `ack_seq` is the index of its event, where its line is."""

    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    agency: Named[str] = Column(Text, primary_key=True)
    state: Named[str] = Column(Text, primary_key=True)
    ack_seq: Named[int] = Column(BigInteger)


ack = Table("ack", metadata, _AckColumns)


class _SubscriptionColumns(TypedColumns):
    """A named place in an agency's feed: which part of it (canonical JSON), how far it was taken over."""

    agency: Named[str] = Column(Text, primary_key=True)
    name: Named[str] = Column(Text, primary_key=True)
    filter: Named[str] = Column(Text)
    cursor: Named[int] = Column(BigInteger)
    created_seq: Named[int] = Column(BigInteger)


subscription = Table("subscription", metadata, _SubscriptionColumns)


class _WebhookColumns(TypedColumns):
    """Where a subscription is pushed to. `state` is pending, active or dead; times are Unix seconds.

    `since` is when the present row of failures began, `code` what the last one was, `next_at` when the next attempt is
    due.
    """

    agency: Named[str] = Column(Text, primary_key=True)
    subscription: Named[str] = Column(Text, primary_key=True)
    url: Named[str] = Column(Text)
    state: Named[str] = Column(Text)
    order_seq: Named[int] = Column(BigInteger)
    tries: Named[int] = Column(BigInteger)
    since: Named[int | None] = Column(BigInteger)
    code: Named[str | None] = Column(Text)
    next_at: Named[int] = Column(BigInteger)


webhook = Table("webhook", metadata, _WebhookColumns)


class _IndicatorColumns(TypedColumns):
    """An indicator of a clear bulletin (`seq`); `digest` is an HMAC of its canonical value with a key of the hub."""

    type: Named[str] = Column(Text, primary_key=True)
    digest: Named[bytes] = Column(LargeBinary, primary_key=True)
    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)


indicator = Table("indicator", metadata, _IndicatorColumns, Index(None, "seq"))


class _WatchColumns(TypedColumns):
    """One saved indicator of an agency's watch list `name`."""

    agency: Named[str] = Column(Text, primary_key=True)
    name: Named[str] = Column(Text, primary_key=True)
    type: Named[str] = Column(Text, primary_key=True)
    digest: Named[bytes] = Column(LargeBinary, primary_key=True)


watch = Table("watch", metadata, _WatchColumns)


class _InterestColumns(TypedColumns):
    """A registered interest: `seq` is the index of its event, `at` and `until` (Unix seconds) when it begins and ends.

    `count` indicators were registered with it; they are kept only while it stands. `checked_seq` is the index of the
    event that says that its results are there, None until the next minute.
    """

    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    id: Named[str] = Column(Text, unique=True)
    agency: Named[str] = Column(Text)
    mode: Named[str] = Column(Text)
    case_ref: Named[str] = Column(Text)
    at: Named[int] = Column(BigInteger)
    until: Named[int] = Column(BigInteger)
    count: Named[int] = Column(BigInteger)
    checked_seq: Named[int | None] = Column(BigInteger)


interest = Table("interest", metadata, _InterestColumns, Index(None, "agency", "seq"), Index(None, "checked_seq"))


class _InterestValueColumns(TypedColumns):
    """One indicator of an interest (`seq`), by its HMAC; `place` is its index in the order."""

    type: Named[str] = Column(Text, primary_key=True)
    digest: Named[bytes] = Column(LargeBinary, primary_key=True)
    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    place: Named[int] = Column(BigInteger)


interest_value = Table("interest_value", metadata, _InterestValueColumns, Index(None, "seq"))


class _MatchColumns(TypedColumns):
    """What interest `seq` is told at its indicator `place`: somebody else's interest `other` has the same."""

    seq: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    place: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    other: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)


match = Table("match", metadata, _MatchColumns)


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


class _LinkColumns(TypedColumns):
    """A link that signs somebody in to the console once; `digest` is SHA-256 of its code. Times are Unix seconds.

    `used` is when it was, None before.
    """

    digest: Named[bytes] = Column(LargeBinary, primary_key=True)
    party: Named[str] = Column(Text)
    kid: Named[str] = Column(Text)
    role: Named[str] = Column(Text)
    end: Named[int] = Column(BigInteger)
    used: Named[int | None] = Column(BigInteger)


link = Table("link", metadata, _LinkColumns)


class _SessionColumns(TypedColumns):
    """A browser that is signed in; `digest` is SHA-256 of its cookie, `browser` of what it calls itself.

    `begun` and `seen`, its last page, are Unix seconds.
    """

    digest: Named[bytes] = Column(LargeBinary, primary_key=True)
    party: Named[str] = Column(Text)
    kid: Named[str] = Column(Text)
    role: Named[str] = Column(Text)
    browser: Named[bytes] = Column(LargeBinary)
    begun: Named[int] = Column(BigInteger)
    seen: Named[int] = Column(BigInteger)


session = Table("session", metadata, _SessionColumns, Index(None, "kid"))


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


class _RollupColumns(TypedColumns):
    """How many events of a party and kind a span of time has; `topic` and `tlp_rank` are of accepted bulletins.

    `width` is 1, 24 or 672 hours, `start` hours since 1970; '' and -1 stand for no topic and no marking. All of these
    events lie from index `first` to `last`. Derived from the log; `rolled` says how far.
    """

    width: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    start: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    party: Named[str] = Column(Text, primary_key=True)
    kind: Named[str] = Column(Text, primary_key=True)
    topic: Named[str] = Column(Text, primary_key=True)
    tlp_rank: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    count: Named[int] = Column(BigInteger)
    first: Named[int] = Column(BigInteger)
    last: Named[int] = Column(BigInteger)


rollup = Table("rollup", metadata, _RollupColumns, sqlite_with_rowid=False)


class _RolledColumns(TypedColumns):
    """How many events of the log are in `rollup`: one row, `id` 0."""

    id: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    size: Named[int] = Column(BigInteger)


rolled = Table("rolled", metadata, _RolledColumns)


class _CheckpointColumns(TypedColumns):
    """A signed checkpoint, as it was published."""

    size: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    note: Named[bytes] = Column(LargeBinary)


checkpoint = Table("checkpoint", metadata, _CheckpointColumns)


class _CosignatureColumns(TypedColumns):
    """A witness's signature line on the checkpoint of this size, verified; `witness` is its verifier key line."""

    size: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    witness: Named[str] = Column(Text, primary_key=True)
    line: Named[str] = Column(Text)


cosignature = Table("cosignature", metadata, _CosignatureColumns)
