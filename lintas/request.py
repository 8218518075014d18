"""One question to the hub with its answer, as every operation of a client asks it.

An operation is a generator: it yields a `Request` and is sent the `Response`. Nothing here waits, retries or knows
httpx.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlencode

from lintas.errors import HubUnreachable, Refusal
from lintas.problems import from_problem
from lintas.session import Session
from lintas.strict import parse_object


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. `any_epoch`: the answer is taken though it is of a later epoch of the log than is pinned."""

    method: str
    path: str
    body: bytes = b""
    media: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    any_epoch: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


UNAVAILABLE = frozenset({502, 503, 504})
"""The hub is busy, or a proxy answers in its place, having lost it: the same bytes may be sent again."""

T = TypeVar("T")
Operation = Generator[Request, Response, T]


def expect(response: Response, *statuses: int) -> Response:
    """Return the response if its status is one of these; raise the error its problem stands for.

    A proxy's word that the hub behind it is not there is no refusal by the hub: it raises HubUnreachable.
    """
    if response.status in statuses:
        return response
    try:
        members = parse_object(response.body, floats=True)
    except ValueError:
        members = {"detail": f"The hub answered {response.status} without a problem document."}
    error = from_problem(members, response.status)
    if response.status in UNAVAILABLE and type(error) is Refusal:
        raise HubUnreachable(f"A proxy on the way answered {response.status}: the hub behind it is not there.")
    raise error


def read(session: Session, path: str, **params: str | int | None) -> Operation[Response]:
    """Read with a token."""
    return expect((yield reading(session, path, **params)), 200)


def reading(session: Session, path: str, **params: str | int | None) -> Request:
    """Make a request that reads with a token."""
    asked = {name.rstrip("_"): value for name, value in params.items() if value is not None}
    query = f"?{urlencode(asked)}" if asked else ""
    return Request("GET", path + query, headers={"Authorization": f"Bearer {session.token()}"})


def waiting(request: Request, wait_s: int) -> Request:
    """Let the hub wait up to so long for something to come before it answers (RFC 7240)."""
    return replace(request, headers={**request.headers, "Prefer": f"wait={wait_s}"}) if wait_s else request


def given(after: int) -> int | None:
    """Return a cursor as a parameter: before the first event there is no index to name."""
    return after if after >= 0 else None
