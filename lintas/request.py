"""One question to the hub with its answer, as every operation of a client asks it.

An operation is a generator: it yields a `Request` and is sent the `Response`. Nothing here waits, retries or knows
httpx.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

from lintas.errors import from_problem
from lintas.session import Session
from lintas.strict import parse_object


@dataclass(frozen=True, slots=True)
class Request:
    """What to send."""

    method: str
    path: str
    body: bytes = b""
    media: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


T = TypeVar("T")
Operation = Generator[Request, Response, T]


def expect(response: Response, *statuses: int) -> Response:
    """Return the response if its status is one of these; raise the error its problem stands for."""
    if response.status in statuses:
        return response
    try:
        members = parse_object(response.body, floats=True)
    except ValueError:
        members = {"detail": f"The hub answered {response.status} without a problem document."}
    raise from_problem(members, response.status)


def read(session: Session, path: str, **params: str | int | None) -> Operation[Response]:
    """Read with a token."""
    asked = {name.rstrip("_"): value for name, value in params.items() if value is not None}
    query = f"?{urlencode(asked)}" if asked else ""
    headers = {"Authorization": f"Bearer {session.token()}"}
    response = yield Request("GET", path + query, headers=headers)
    return expect(response, 200)
