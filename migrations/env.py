"""Alembic's entry point: run the revisions on the connection that the hub passes in."""

from __future__ import annotations

from alembic import context

from broker.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    render_as_batch=False,
)
with context.begin_transaction():
    context.run_migrations()
