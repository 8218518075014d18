"""Alembic migrations of the hub's database, shipped with the package."""
