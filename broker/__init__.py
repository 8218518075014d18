"""The hub of Lintas."""
