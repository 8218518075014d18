"""The fifth schema: objects as TAXII serves them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEX = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "taxii_addition",
        sa.Column("last", INDEX, autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("tlp_rank", sa.BigInteger(), nullable=False),
        sa.Column("withdraws", sa.Boolean(), nullable=False),
        sa.Column("is_gone", sa.Boolean(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("last", name="pk_taxii_addition"),
    )
    op.create_index("ix_taxii_addition_seq", "taxii_addition", ["seq"])
    op.create_table(
        "taxii_reader",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("last", INDEX, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("agency", "collection", "last", name="pk_taxii_reader"),
    )
    op.create_index("ix_taxii_reader_last", "taxii_reader", ["last"])
    op.create_table(
        "taxii_object",
        sa.Column("added", INDEX, autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("added", name="pk_taxii_object"),
    )
    op.create_index("ix_taxii_object_id_added", "taxii_object", ["id", "added"])
    op.create_table(
        "taxii_filled",
        sa.Column("id", INDEX, autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_taxii_filled"),
    )
