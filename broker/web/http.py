"""Reading requests strictly, answering with problems.

Every limit has its name here. A refusal becomes an RFC 9457 problem in one place (`problem`), never with more than the
caller may know.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from broker.auth import Caller
from broker.hub import Hub
from lintas.errors import (
    STATUS,
    BadRequest,
    Busy,
    InternalError,
    LintasError,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    Refusal,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
)
from lintas.event import US_PER_S

BODY_S_MAX = 30.0
"""Seconds a body may take: a batch of the largest size over a slow national link."""

BODIES_BYTES_MAX = 128 * 1024 * 1024
"""Bytes of bodies that are still coming in, of all connections together."""

STRANGERS_STATUS = frozenset({400, 401, 403, 408, 413, 415, 422})
"""Refusals that are counted per address unless an event of their issuer records them already."""

PROBLEM_MEDIA = "application/problem+json"
JSON_MEDIA = "application/json"
LINES_MEDIA = "application/jsonl"
TEXT_MEDIA = "text/plain; charset=utf-8"
PRIVATE = {"Cache-Control": "private, no-cache"}
INTEGER_DIGITS_MAX = 16
IPV6 = 6
IPV6_PREFIX = 64

_INTEGER = re.compile(r"[0-9]{1,16}")

logger = logging.getLogger("lintas.web")


class BodyRoom:
    """Bytes of half-read bodies that may be in memory at once. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        """Begin empty."""
        self._taken = 0

    def take(self, size_bytes: int) -> None:
        """Make room for a chunk, or raise Busy."""
        if self._taken + size_bytes > BODIES_BYTES_MAX:
            raise Busy(retry_after=1)
        self._taken += size_bytes

    def give(self, size_bytes: int) -> None:
        """Give room back."""
        self._taken -= size_bytes


def hub_of(request: Request) -> Hub:
    """Return the hub this application serves."""
    hub: Hub = request.app.state.hub
    return hub


def source_of(request: Request) -> str:
    """Return the sender's address, for counting strangers; an IPv6 sender counts as its whole network."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return "unknown"
    if address.version == IPV6:
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)


def caller_of(request: Request) -> Caller:
    """Return who calls; raise Unauthorized."""
    hub = hub_of(request)
    return hub.tokens.caller(request.headers.get("authorization"), hub.directory, hub.now())


def agency_of(request: Request) -> Caller:
    """Return the calling agency; administrators read no content."""
    caller = caller_of(request)
    if caller.is_admin:
        raise NotAllowed("Administrators do not read bulletins; agencies do.", member="scope")
    return caller


def subscriber_of(request: Request) -> Caller:
    """Return the calling agency if its token may change subscriptions; a token to read must not move a cursor."""
    caller = agency_of(request)
    if not caller.may_subscribe:
        raise NotAllowed("This needs a token of scope `subscribe`.", member="scope")
    return caller


def admin_of(request: Request) -> Caller:
    """Return the calling administrator; raise NotAllowed for an agency."""
    caller = caller_of(request)
    if not caller.is_admin:
        raise NotAllowed("Only administrators read this.", member="scope")
    return caller


def media_type(request: Request) -> str:
    """Return the content type without parameters; refuse encoded bodies, which are never unpacked here."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()


def expect_media(request: Request, allowed: Collection[str]) -> str:
    """Return the content type if it is one of these; raise UnsupportedMediaType naming them."""
    found = media_type(request)
    if found not in allowed:
        raise UnsupportedMediaType(f"Send one of: {', '.join(sorted(allowed))}.")
    return found


async def read_body(request: Request, size_bytes_max: int) -> bytes:
    """Read the body up to a limit and within a time, whatever Content-Length says."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:INTEGER_DIGITS_MAX]) > size_bytes_max:
        _too_large(size_bytes_max)
    room: BodyRoom = request.app.state.body_room
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_S_MAX):
            async for chunk in request.stream():
                size += len(chunk)
                if size > size_bytes_max:
                    _too_large(size_bytes_max)
                room.take(len(chunk))
                chunks.append(chunk)
    except TimeoutError as fault:
        raise RequestTimeout(f"A body may take {BODY_S_MAX:.0f} seconds.") from fault
    except ClientDisconnect as fault:
        raise BadRequest("The connection ended before the body did.") from fault
    finally:
        room.give(sum(map(len, chunks)))
    return b"".join(chunks)


async def read_line(request: Request, typ: str, size_bytes_max: int) -> bytes:
    """Read a body that is one line of this type; a single line feed at the end is framing, not content."""
    expect_media(request, {f"application/{typ}"})
    return (await read_body(request, size_bytes_max + 1)).removesuffix(b"\n")


def check_params(request: Request, known: Collection[str]) -> None:
    """Refuse unknown or repeated query parameters: a mistyped filter must not widen an answer in silence."""
    if not request.scope["query_string"]:
        return
    seen = set()
    for name, value in request.query_params.multi_items():
        if name not in known or name in seen:
            raise BadRequest("This parameter is unknown here, or given twice.", member=name[:64])
        if not value.isprintable():
            raise BadRequest("A parameter has a control character.", member=name)
        seen.add(name)


def integer_param(request: Request, name: str, default: int, *, low: int = 0, high: int = 2**53 - 1) -> int:
    """Return an integer parameter within its range; raise BadRequest."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
        raise BadRequest(f"`{name}` is an integer from {low} to {high}.", member=name)
    return int(text)


def flag_param(request: Request, name: str) -> bool:
    """Tell whether a parameter that can only be 1 is given; raise BadRequest."""
    return integer_param(request, name, 0, low=1, high=1) == 1


def time_param(request: Request, name: str) -> int | None:
    """Return an RFC 3339 time parameter in Unix microseconds."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRequest(f"`{name}` is an RFC 3339 time with its zone, such as 2026-11-24T00:00:00Z.", member=name)
    return int(moment.timestamp() * US_PER_S)


def rfc3339(time_us: int) -> str:
    """Write Unix microseconds as RFC 3339 UTC."""
    moment = datetime.fromtimestamp(time_us // US_PER_S, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_us % US_PER_S:06d}Z"


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON that no cache may keep for others."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, {**PRIVATE, **(headers or {})}, media_type=JSON_MEDIA)


def problem_members(error: LintasError) -> dict[str, Any]:
    """Return the RFC 9457 members of an error."""
    return {**error.problem(), "status": STATUS.get(type(error), 500)}


def problem(error: LintasError) -> Response:
    """Answer with a problem; an error that is not a Refusal is reported as ours, without its text."""
    if not isinstance(error, Refusal):
        error = InternalError()
    members = problem_members(error)
    headers = dict(PRIVATE)
    if members["status"] == 401:  # noqa: PLR2004 - RFC 9110 names it
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in error.extra:
        headers["Retry-After"] = str(error.extra["retry_after"])
    body = json.dumps(members, ensure_ascii=False).encode()
    return Response(body, members["status"], headers, media_type=PROBLEM_MEDIA)


def refusal_of(request: Request, error: LintasError) -> Response:
    """Answer a request that was refused; count it when only a stranger's address is known."""
    if not isinstance(error, Refusal):
        logger.error("request failed: %s", error)
    elif not error.is_logged and STATUS.get(type(error)) in STRANGERS_STATUS:
        hub_of(request).strangers.count(source_of(request), error.code)
    return problem(error)


def install_problems(app: FastAPI) -> None:
    """Turn every exception that leaves a handler into a problem."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, LintasError)
        return refusal_of(request, error)

    async def http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known: dict[int, Refusal] = {404: NotFound(), 405: MethodNotAllowed()}
        return problem(known.get(error.status_code, BadRequest()))

    async def invalid(_request: Request, _error: Exception) -> Response:
        return problem(BadRequest())

    async def crashed(_request: Request, _error: Exception) -> Response:
        return problem(InternalError())

    app.add_exception_handler(LintasError, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, crashed)


def _too_large(size_bytes_max: int) -> NoReturn:
    raise TooLarge(f"A body here has at most {size_bytes_max} bytes.")
