"""The gateway's feed for the agency's own MISP, which polls no TAXII.

Spec: docs/spec/misp.md (feed); docs/spec/gateway.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clients.gateway.events import Events
from clients.gateway.server import Asked
from lintas import misp
from lintas.errors import MethodNotAllowed, NotFound
from lintas.strict import canonical
from lintas.taxii import Answer

PATH = "/misp/"
MANIFEST, HASHES = "manifest.json", "hashes.csv"
JSON, CSV = "application/json", "text/csv"
_EVENT = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json")


class Feed:
    """Answers what begins with ``/misp/``."""

    def __init__(self, events: Events) -> None:
        """Give these events."""
        self._events = events

    def answer(self, asked: Asked) -> Answer:
        """Answer a request; raise a Refusal."""
        if asked.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("Here is GET, HEAD.")
        name = asked.path.removeprefix(PATH)
        if name == MANIFEST:
            return _answer(canonical(self._events.manifest()), JSON)
        if name == HASHES:
            return _answer(misp.hashes_csv(self._events.everything()).encode(), CSV)
        found = _EVENT.fullmatch(name)
        body = None if found is None else self._events.body(found[1])
        if body is None:
            raise NotFound
        return _answer(body, JSON)


def _answer(body: bytes, media: str) -> Answer:
    headers: Mapping[str, str] = {"Content-Type": media, "Cache-Control": "no-store"}
    return Answer(200, headers, body)
