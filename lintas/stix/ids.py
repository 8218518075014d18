"""Identifiers of exported objects, the same on every hub on every day.

Observables take the ids that the standard prescribes, so that two bulletins about one address meet in one object. All
else hangs on the first bulletin of a chain of supersessions: what replaces it is a newer version of the same object.
Spec: STIX 2.1 sections 2.9, 3.4; RFC 9562 section 5.5 (UUIDv5); RFC 8785.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from lintas.strict import canonical

NAMESPACE = UUID("3833d85a-1389-50a0-b2ac-76165bd7a967")
"""Ours: `namespace_uuid` of the vocabulary."""

OASIS = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""The standard's, for observables."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIXED_TIME = "2026-01-01T00:00:00.000Z"
"""When objects that never change were made: identities of agencies, definitions of extensions."""


def stable_id(type: str, *parts: str) -> str:  # noqa: A002 - the word of STIX
    """Return the id of an object of ours that these parts name."""
    return f"{type}--{uuid5(NAMESPACE, ':'.join(parts))}"


def observable_id(type: str, contributing: Mapping[str, object]) -> str:  # noqa: A002 - as above
    """Return the id of an observable from its contributing properties."""
    return f"{type}--{uuid5(OASIS, canonical(contributing).decode())}"


def agency_id(agency: str) -> str:
    """Return the id of an agency's identity, as the vocabulary lists it."""
    return stable_id("identity", "agency", agency)


def report_id(first: str) -> str:
    """Return the id of the report of a bulletin; `first` is the line id its chain of supersessions began with."""
    return stable_id("report", first)


def stamp(time_us: int) -> str:
    """Return Unix microseconds as a STIX timestamp."""
    # Adding microseconds is exact, where a division into a float is not.
    return f"{(EPOCH + timedelta(microseconds=time_us)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
