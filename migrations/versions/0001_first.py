"""The first schema: lines, recipients, references, invitations, the log with its events and checkpoints."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.append_only import refuse_changes

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INDEX = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("log", "checkpoint")


def upgrade() -> None:
    _lines()
    _invites()
    _log()
    for table in APPEND_ONLY:
        refuse_changes(table)


def _lines() -> None:
    op.create_table(
        "line",
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("typ", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("exp", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("tlp_rank", sa.BigInteger(), nullable=True),
        sa.Column("withdraws", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_line"),
        sa.UniqueConstraint("id", name="uq_line_id"),
    )
    op.create_index("ix_line_iss_seq", "line", ["iss", "seq"])
    op.create_table(
        "recipient",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("released_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("agency", "seq", name="pk_recipient"),
    )
    op.create_index("ix_recipient_seq", "recipient", ["seq"])
    op.create_table(
        "ref",
        sa.Column("target", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("target", "relation", "seq", name="pk_ref"),
    )


def _invites() -> None:
    op.create_table(
        "invite",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invite"),
    )
    op.create_table(
        "invite_try",
        sa.Column("invite", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("invite", "source", name="pk_invite_try"),
    )


def _log() -> None:
    op.create_table(
        "log",
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("nodes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_log"),
    )
    op.create_table(
        "event",
        sa.Column("seq", INDEX, autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("party_seq", sa.BigInteger(), nullable=False),
        sa.Column("object", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_event"),
        sa.UniqueConstraint("party", "party_seq", name="uq_event_party_party_seq"),
    )
    op.create_index("ix_event_party_seq", "event", ["party", "seq"])
    op.create_index("ix_event_kind_seq", "event", ["kind", "seq"])
    op.create_index("ix_event_object_seq", "event", ["object", "seq"])
    op.create_index("ix_event_time", "event", ["time"])
    op.create_table(
        "checkpoint",
        sa.Column("size", INDEX, autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_checkpoint"),
    )
