"""What is asked of the hub: requests one after the other, with what their answers must be."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

HOST = "127.0.0.1"
BULLETIN_MEDIA = "application/vnd.lintas.bulletin"
LINES_MEDIA = "application/jsonl"
PAGE_LINES = 100
BEGINNING = 0
"""Index 0 of the log is never a bulletin."""


class Work(Protocol):
    """Requests and their checks; made in one process, used in another."""

    def next(self) -> bytes | None:
        """Return the next request, None when there is none left."""

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Return how many units an answer stands for; raise ValueError when it is not what was expected."""


class Posts:
    """The signed lines of a file, each posted once, `batch` a request."""

    def __init__(self, path: Path, batch: int = 1) -> None:
        """Read them all before anything is measured."""
        self._batch = batch
        self._requests = deque(_posts(path.read_bytes().splitlines(), batch))

    def next(self) -> bytes | None:
        """Return the next request."""
        return self._requests.popleft() if self._requests else None

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Expect that every line is accepted, and new."""
        del head
        if self._batch == 1:
            statuses = [status]
        else:
            expect(status, 200, body)
            statuses = [json.loads(row)["status"] for row in body.splitlines()]
        for found in statuses:
            expect(found, 201, body)
        return expect(len(statuses), self._batch, body)


class Pulls:
    """Pages of a feed, each request one after another, from the beginning again after the last full one.

    As many readers walk as there are connections; with `places` (log indexes) each begins at a random one.
    """

    def __init__(self, token: str, places: int = 1) -> None:
        """Begin at the beginning of the feed, or anywhere below `places`."""
        self._token = token
        self._places = places
        self._cursors: deque[int] = deque()

    def next(self) -> bytes | None:
        """Return the request for the next page."""
        after = self._cursors.popleft() if self._cursors else random.randrange(BEGINNING, self._places)
        return get(f"/v1/bulletins?after={after}&limit={PAGE_LINES}", self._token)

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Expect a full page; one at the end of the feed counts as nothing, and the beginning follows it."""
        expect(status, 200, body)
        lines = body.count(b'"line":')
        if lines < PAGE_LINES and b"rel=" not in head:
            self._cursors.append(BEGINNING)
            return 0
        expect(lines, PAGE_LINES, body)
        self._cursors.append(int(header(head, b"lintas-cursor")))
        return 1


class Reads:
    """Small answers, each of which must be there: the paths in turn."""

    def __init__(self, token: str, paths: list[str]) -> None:
        """Ask for these paths, again and again."""
        self._token = token
        self._paths = deque(paths)

    def next(self) -> bytes | None:
        """Return the next request."""
        self._paths.rotate(-1)
        return get(self._paths[0], self._token)

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Expect that it is there."""
        del head
        expect(status, 200, body)
        return 1


def get(path: str, token: str) -> bytes:
    """Return a request for a path."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def post(media: str, body: bytes) -> bytes:
    """Return a request that publishes."""
    head = (
        f"POST /v1/bulletins HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def header(head: bytes, name: bytes) -> bytes:
    """Return a header of an answer."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    raise ValueError(f"The answer has no {name.decode()}.")


def expect(found: int, expected: int, body: bytes) -> int:
    """Return what was found if it was expected; raise ValueError."""
    if found != expected:
        raise ValueError(f"Expected {expected}, found {found}: {body[:300].decode(errors='replace')}")
    return found


def _posts(lines: list[bytes], batch: int) -> Iterator[bytes]:
    if batch == 1:
        yield from (post(BULLETIN_MEDIA, line) for line in lines)
        return
    rest = iter(lines)
    while len(chunk := list(islice(rest, batch))) == batch:
        yield post(LINES_MEDIA, b"\n".join(chunk) + b"\n")
