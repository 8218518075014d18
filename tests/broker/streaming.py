"""A reader of streams for tests: what came, in order, read by a thread of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from lintas.stream import EventReader, StreamEvent
from tests.conftest import wait_until


@dataclass
class Listener:
    """One stream being read. `ended` once the hub closed it."""

    events: list[StreamEvent] = field(default_factory=list)
    raw: bytes = b""
    ended: bool = False

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows so far."""
        return [json.loads(event.data) for event in self.events if event.type in ("bulletin", "state")]

    @property
    def seqs(self) -> list[int]:
        """The log indexes of the rows so far."""
        return [row["seq"] for row in self.rows]

    @property
    def reason(self) -> str | None:
        """Why the hub ended it, if it said so."""
        return next((event.data.decode() for event in self.events if event.type == "end"), None)

    def wait_for(self, count: int) -> list[int]:
        """Wait for this many rows; return their log indexes."""
        wait_until(lambda: len(self.seqs) >= count or self.ended)
        return self.seqs

    def read(self, answer: httpx.Response) -> None:
        """Read to the end."""
        reader = EventReader()
        try:
            for chunk in answer.iter_raw():
                self.raw += chunk
                self.events += reader.take(chunk)
        except httpx.TransportError:
            pass
        self.ended = True


@contextmanager
def listening(url: str, token: str, **headers: str) -> Iterator[Listener]:
    """Open a stream and read it beside the test; leave it at the end."""
    listener = Listener()
    headers |= {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    with httpx.Client(timeout=60) as http, http.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        thread = threading.Thread(target=listener.read, args=(answer,), daemon=True)
        thread.start()
        wait_until(lambda: bool(listener.raw))
        yield listener
        if not listener.ended:
            # Closing the socket under the reader ends its read at once.
            stream: Any = answer.extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(2)
        thread.join(20)
