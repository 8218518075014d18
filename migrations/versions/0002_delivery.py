"""The second schema.

Delivery, acknowledgements, subscriptions, webhooks, indicators, interests, purged content, cosignatures.
"""

from __future__ import annotations

import base64
import json

import sqlalchemy as sa
from alembic import op

from migrations.append_only import refuse_changes

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INDEX = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _lines()
    _delivery()
    _subscriptions()
    _indicators()
    _interests()
    _cosignatures()


def _lines() -> None:
    # Copied, not altered in place: SQLite cannot take a NOT NULL from a column.
    with op.batch_alter_table("line") as line:
        line.alter_column("raw", existing_type=sa.LargeBinary(), nullable=True)
        line.add_column(sa.Column("urgency", sa.Text(), nullable=True))
        line.add_column(sa.Column("is_personal", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("line") as line:
        line.alter_column("is_personal", existing_type=sa.Boolean(), server_default=None)
    _fill_urgency()
    op.create_index(
        "ix_line_exp",
        "line",
        ["exp"],
        sqlite_where=sa.text("raw IS NOT NULL"),
        postgresql_where=sa.text("raw IS NOT NULL"),
    )
    op.create_index("ix_line_kind_exp", "line", ["kind", "exp"])
    op.create_index("ix_ref_seq", "ref", ["seq"])


def _fill_urgency() -> None:
    # What stands in the header of each bulletin. Whether it has person data is not looked up: it is taken to have some.
    line = sa.table("line", *map(sa.column, ("seq", "kind", "raw", "urgency", "is_personal")))
    conn = op.get_bind()
    bulletins = conn.execute(sa.select(line.c.seq, line.c.raw).where(line.c.kind.is_not(None))).all()
    for seq, raw in bulletins:
        head = bytes(raw).split(b".", 1)[0]
        urgency = json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4)))["urgency"]
        conn.execute(sa.update(line).where(line.c.seq == seq).values(urgency=urgency, is_personal=True))


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("sent_seq", sa.BigInteger(), nullable=False),
        sa.Column("received_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("agency", "way", "seq", name="pk_delivery"),
    )
    op.create_index("ix_delivery_seq", "delivery", ["seq"])
    op.create_index(
        "ix_delivery_unreceived",
        "delivery",
        ["agency", "way", "seq"],
        sqlite_where=sa.text("received_seq IS NULL"),
        postgresql_where=sa.text("received_seq IS NULL"),
    )
    op.create_table(
        "ack",
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ack_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", "agency", "state", name="pk_ack"),
    )


def _subscriptions() -> None:
    op.create_table(
        "subscription",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("created_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "name", name="pk_subscription"),
    )
    op.create_table(
        "webhook",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("order_seq", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "subscription", name="pk_webhook"),
    )


def _indicators() -> None:
    op.create_table(
        "indicator",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("type", "digest", "seq", name="pk_indicator"),
    )
    op.create_index("ix_indicator_seq", "indicator", ["seq"])
    op.create_table(
        "watch",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "name", "type", "digest", name="pk_watch"),
    )


def _interests() -> None:
    op.create_table(
        "interest",
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("case_ref", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("checked_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_interest"),
        sa.UniqueConstraint("id", name="uq_interest_id"),
    )
    op.create_index("ix_interest_agency_seq", "interest", ["agency", "seq"])
    op.create_index("ix_interest_checked_seq", "interest", ["checked_seq"])
    op.create_table(
        "interest_value",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("type", "digest", "seq", name="pk_interest_value"),
    )
    op.create_index("ix_interest_value_seq", "interest_value", ["seq"])
    op.create_table(
        "match",
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("other", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("seq", "place", "other", name="pk_match"),
    )


def _cosignatures() -> None:
    op.create_table(
        "cosignature",
        sa.Column("size", INDEX, autoincrement=False, nullable=False),
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", "witness", name="pk_cosignature"),
    )
    refuse_changes("cosignature")
