"""Reading requests strictly, answering with problems.

Every limit has its name here. A refusal becomes an RFC 9457 problem in one place (`problem`), never with more than the
caller may know.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from broker.auth import Caller
from broker.hub import Hub
from broker.web.charging import body_room_of, count_stranger, hold, limits_of, source_of
from lintas.errors import (
    STATUS,
    BadRequest,
    InternalError,
    LintasError,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    RateLimited,
    Refusal,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
)
from lintas.event import US_PER_S

BODY_S_MAX = 30.0
"""Seconds a body may take: a batch of the largest size over a slow national link."""

SLOW_S = 1.0
"""What an address in debt waits for its answer: one that asks on and on does so once a second and connection."""

STRANGERS_STATUS = frozenset({400, 401, 403, 408, 413, 415, 422})
"""Refusals that are counted per address unless an event of their issuer records them already."""

PROBLEM_MEDIA = "application/problem+json"
JSON_MEDIA = "application/json"
LINES_MEDIA = "application/jsonl"
TEXT_MEDIA = "text/plain; charset=utf-8"
PRIVATE = {"Cache-Control": "private, no-cache"}
INTEGER_DIGITS_MAX = 16

ShowProblem = Callable[[Request, LintasError], Response]
_SHOW_PROBLEM = "lintas.show_problem"

_INTEGER = re.compile(r"[0-9]{1,16}")

logger = logging.getLogger("lintas.web")


def hub_of(request: Request) -> Hub:
    """Return the hub this application serves."""
    hub: Hub = request.app.state.hub
    return hub


def caller_of(request: Request) -> Caller:
    """Return who calls, charged for a read; raise Unauthorized, RateLimited or Busy."""
    hub, limits = hub_of(request), limits_of(request)
    authorization = request.headers.get("authorization")
    if not hub.tokens.knows(authorization):
        # Before a signature is looked at. A token that held before is let through: others may share its address.
        limits.check_address(source_of(request))
    caller = hub.tokens.caller(authorization, hub.directory, hub.now())
    limits.check_reads(caller.party)
    limits.charge_reads(caller.party)
    hold(request, limits.begin_read(caller.party))
    return caller


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
    source, room = source_of(request), body_room_of(request)
    limits_of(request).check_address(source)
    chunks: list[bytes] = []
    size = 0
    hold(request, lambda: room.give(source, sum(map(len, chunks))))
    try:
        async with asyncio.timeout(BODY_S_MAX):
            async for chunk in request.stream():
                size += len(chunk)
                if size > size_bytes_max:
                    _too_large(size_bytes_max)
                room.take(source, len(chunk))
                chunks.append(chunk)
    except TimeoutError as fault:
        raise RequestTimeout(f"A body may take {BODY_S_MAX:.0f} seconds.") from fault
    except ClientDisconnect as fault:
        raise BadRequest("The connection ended before the body did.") from fault
    return b"".join(chunks)


async def read_line(request: Request, typ: str, size_bytes_max: int) -> bytes:
    """Read a body that is one line of this type; a single line feed at the end is framing, not content."""
    expect_media(request, {f"application/{typ}"})
    return (await read_body(request, size_bytes_max + 1)).removesuffix(b"\n")


def check_params(request: Request, known: Collection[str], repeatable: Collection[str] = ()) -> None:
    """Refuse unknown or repeated query parameters: a mistyped filter must not widen an answer in silence."""
    if not request.scope["query_string"]:
        return
    seen = set()
    for name, value in request.query_params.multi_items():
        if name not in repeatable and (name not in known or name in seen):
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


async def refusal_of(request: Request, error: LintasError) -> Response:
    """Answer a request that was refused; count it when only a stranger's address is known."""
    if isinstance(error, RateLimited):
        return await _slowly(request, error)
    if not isinstance(error, Refusal):
        logger.error("request failed: %s", error)
    elif not error.is_logged and STATUS.get(type(error)) in STRANGERS_STATUS:
        count_stranger(request, error.code)
    return _shown(request, error)


def use_problems(request: Request, show: ShowProblem) -> None:
    """Have the refusals of this request shown this way instead of as RFC 9457 documents."""
    request.scope[_SHOW_PROBLEM] = show


def _shown(request: Request, error: LintasError) -> Response:
    show: ShowProblem | None = request.scope.get(_SHOW_PROBLEM)
    return problem(error) if show is None else show(request, error)


def install_problems(app: FastAPI) -> None:
    """Turn every exception that leaves a handler into a problem."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, LintasError)
        return await refusal_of(request, error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        known: dict[int, Refusal] = {404: NotFound(), 405: MethodNotAllowed()}
        return _shown(request, known.get(error.status_code, BadRequest()))

    async def invalid(request: Request, _error: Exception) -> Response:
        return _shown(request, BadRequest())

    async def crashed(request: Request, _error: Exception) -> Response:
        return _shown(request, InternalError())

    app.add_exception_handler(LintasError, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, crashed)


async def _slowly(request: Request, error: RateLimited) -> Response:
    # An answer at once would be asked for again at once.
    release = limits_of(request).slow(source_of(request))
    if release is None:
        response = _shown(request, error)
        response.headers["Connection"] = "close"
        return response
    try:
        await asyncio.sleep(SLOW_S)
    finally:
        release()
    return _shown(request, error)


def _too_large(size_bytes_max: int) -> NoReturn:
    raise TooLarge(f"A body here has at most {size_bytes_max} bytes.")
