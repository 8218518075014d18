"""Fixtures of the gateway's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker import exercise
from lintas import stix
from tests.conftest import ExerciseHub
from tests.gateways import PARTY, Beside, domain, signed


@pytest.fixture
def beside_hub(exercise_hub: ExerciseHub, tmp_path: Path) -> Iterator[Beside]:
    """A hub with what a gateway needs beside it; none runs yet."""
    found = Beside(exercise_hub, exercise.identity_path(exercise_hub.data, PARTY), tmp_path / "spool")
    yield found
    found.stop()


@pytest.fixture
def exported() -> dict[str, Any]:
    """A bulletin of my-police to sg-fiu as a bundle."""
    found = signed("Fictional: exported", indicators=[domain("lotus-loan.example")])
    assert found.line is not None
    return stix.bundle(stix.objects(stix.clear_export(found.line, 1_795_467_600_000_000)))
