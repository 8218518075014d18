"""Which representation a request asks for, which one it brings.

One media type leaves. A request that says nothing of it, or that names it without its version, gets it.
Spec: TAXII 2.1 section 1.6.8.4; RFC 9110 sections 8.3.1, 12.5.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lintas.errors import NotAcceptable, UnsupportedMediaType

TYPE, SUBTYPE, VERSION = "application", "taxii+json", "2.1"
MEDIA = f"{TYPE}/{SUBTYPE};version={VERSION}"

ENTRIES_MAX = 64
"""Media types in one Accept; programs that list everything they can read name some twenty."""

Ranged = tuple[str, Mapping[str, str]]
"""A media type with its parameters."""


def check_accept(accept: str | None) -> None:
    """Raise NotAcceptable unless TAXII 2.1 is among what the caller takes; saying nothing takes anything."""
    if accept is None or not accept.strip():
        return
    found = [(rank, _quality(params)) for name, params in _ranges(accept) if (rank := _rank(name, params)) > 0]
    # RFC 9110: the most specific entry counts, and a quality of 0 excludes.
    if not found or max(found)[1] <= 0:
        raise NotAcceptable(f"This server answers with {MEDIA}.")


def check_content(content_type: str | None) -> None:
    """Raise UnsupportedMediaType unless the body is called TAXII 2.1."""
    parsed = list(_ranges(content_type or ""))
    if len(parsed) != 1 or _rank(*parsed[0]) < _EXACT:
        raise UnsupportedMediaType(f"Objects are posted as {MEDIA}.")


_EXACT = 3


def _ranges(text: str) -> Iterator[Ranged]:
    entries = text.split(",")
    if len(entries) > ENTRIES_MAX:
        raise NotAcceptable(f"An Accept header names at most {ENTRIES_MAX} media types.")
    for entry in entries:
        name, *params = (part.strip() for part in entry.split(";"))
        pairs = (param.partition("=") for param in params if param)
        yield name.lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def _rank(name: str, params: Mapping[str, str]) -> int:
    """Tell how closely an entry names our media type, 0 if not at all."""
    if name == f"{TYPE}/{SUBTYPE}":
        return _EXACT + ("version" in params) if params.get("version", VERSION) == VERSION else 0
    return {f"{TYPE}/*": 2, "*/*": 1}.get(name, 0)


def _quality(params: Mapping[str, str]) -> float:
    text = params.get("q", "1")
    # Not `float`, which also reads words such as "nan".
    digits = text.replace(".", "", 1)
    return float(text) if digits.isascii() and digits.isdigit() else 0.0
