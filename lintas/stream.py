"""Reading server-sent events from bytes, as they come (WHATWG HTML, section 9.2).

Kept: the whole grammar of lines and fields. Left out: a byte order mark, which no hub sends, and `retry`, because the
reader has its own pauses. Memory is bounded: an event that grows beyond its limit is refused before it is whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lintas.errors import HubUnreachable
from lintas.header import BULLETIN, LINE_BYTES_MAX

EVENT_BYTES_MAX = LINE_BYTES_MAX[BULLETIN] + 64 * 1024
"""A row is a line with its marks and the ids of what recalled it in part."""

_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event: its type, its data, the id to resume behind."""

    type: str
    data: bytes
    id: str


class EventReader:
    """Takes the bytes of a stream, gives its events."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._rest: list[bytes] = []
        self._after_cr = False
        self._type = ""
        self._data: list[bytes] = []
        self._size = 0
        self._id = ""

    def take(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that these bytes complete; raise HubUnreachable when one is larger than any row."""
        if self._after_cr and chunk:
            # The line ended with the carriage return; a line feed behind it belongs to the same end.
            chunk, self._after_cr = chunk.removeprefix(b"\n"), False
        first, *others = _LINE_END.split(chunk)
        self._keep(first)
        if not others:
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines, self._rest = [b"".join(self._rest), *others[:-1]], []
        events = []
        for number, line in enumerate(lines):
            # The first line's bytes were counted as they came; the end of a line counts as one.
            self._grow(1 + (len(line) if number else 0))
            event = self._line(line)
            if event is not None:
                events.append(event)
        self._keep(others[-1])
        return events

    def _keep(self, part: bytes) -> None:
        # Joined only when the line ends: a stream that comes byte by byte costs no more than one that comes at once.
        self._rest.append(part)
        self._grow(len(part))

    def _grow(self, size_bytes: int) -> None:
        self._size += size_bytes
        if self._size > EVENT_BYTES_MAX:
            raise HubUnreachable(f"The stream has an event larger than {EVENT_BYTES_MAX} bytes; it was not read.")

    def _line(self, line: bytes) -> StreamEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> StreamEvent | None:
        data, kind = self._data, self._type or "message"
        self._data, self._type, self._size = [], "", 0
        return StreamEvent(kind, b"\n".join(data), self._id) if data else None
