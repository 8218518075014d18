"""The third schema: who is signed in to the console, what its figures are made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEX = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ROLL_UP = """
INSERT INTO rollup (width, start, party, kind, topic, tlp_rank, count, first, last)
SELECT {width}, event.time / {us} * {width}, event.party, event.kind, coalesce(line.topic, ''),
  coalesce(line.tlp_rank, -1), count(*), min(event.seq), max(event.seq)
FROM event LEFT JOIN line ON line.seq = event.seq
GROUP BY event.time / {us} * {width}, event.party, event.kind, coalesce(line.topic, ''), coalesce(line.tlp_rank, -1)
"""
"""What is in the log already, in one statement a width; the hub goes on from there."""


def upgrade() -> None:
    op.create_table(
        "link",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_link"),
    )
    op.create_table(
        "session",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("browser", sa.LargeBinary(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_session"),
    )
    op.create_index("ix_session_kid", "session", ["kid"])
    _rollup()


def _rollup() -> None:
    op.create_table(
        "rollup",
        sa.Column("width", INDEX, autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("tlp_rank", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("width", "start", "party", "kind", "topic", "tlp_rank", name="pk_rollup"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rolled",
        sa.Column("id", INDEX, autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rolled"),
    )
    for width in (1, 24, 672):
        op.execute(ROLL_UP.format(us=width * 3_600_000_000, width=width))
    # A database without a hub stays empty: a backup is restored into such a one alone.
    op.execute("INSERT INTO rolled SELECT 0, count(*) FROM event HAVING count(*) > 0")
