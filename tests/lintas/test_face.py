"""Tests of the public face of lintas: exact, complete, typed."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import lintas

FACE = [
    "Answer",
    "AsyncClient",
    "Call",
    "Client",
    "Draft",
    "Evidence",
    "Finding",
    "Hub",
    "Identity",
    "Interest",
    "Line",
    "LintasError",
    "Logged",
    "OpeningKey",
    "Policy",
    "Published",
    "Received",
    "Refusal",
    "SigningKey",
    "Trouble",
    "Witnessed",
    "fresh_opening",
    "load_identity",
    "open_webhook",
    "parse_policy",
    "read_draft",
    "save_identity",
]


def test_face_is_exact() -> None:
    """What can be imported from lintas is this list: a name more or less is a decision."""
    assert FACE == lintas.__all__


def test_every_name_is_there() -> None:
    """Each name of the face is bound to something with a docstring."""
    assert [] == [name for name in FACE if not getattr(lintas, name).__doc__]


def test_package_is_typed() -> None:
    """Type checkers are told to read the annotations (PEP 561)."""
    assert resources.files("lintas").joinpath("py.typed").is_file()


def test_import_needs_nothing_of_the_hub() -> None:
    """Importing lintas loads neither the hub nor what only a hub needs."""
    program = (
        "import sys, lintas; print([m for m in ('broker', 'fastapi', 'sqlalchemy', 'uvicorn') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert "[]" == shown.stdout.strip()
