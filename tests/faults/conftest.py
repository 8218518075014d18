"""What tests of faults share with those of the hub."""

from __future__ import annotations

from tests.broker.conftest import few

__all__ = ["few"]
