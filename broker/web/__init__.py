"""The hub's HTTP surface: the only package that knows FastAPI."""
