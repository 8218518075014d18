"""What a request is charged to; what it holds until its end.

Everything here belongs to the event loop's thread. The figures, with the decisions, are those of `broker.limits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from broker import limits as figures
from broker.auth import Caller
from broker.batch import Batch
from broker.delivery import submit
from broker.hub import Hub
from broker.limits import Limits
from broker.writer import Done
from lintas.errors import Busy, Refusal
from lintas.header import Header
from lintas.line import Line

BODIES_BYTES_MAX = 128 * 1024 * 1024
"""Bytes of bodies in memory, of all requests together, from their first byte to their answer."""

BODIES_SHARE_BYTES_MAX = BODIES_BYTES_MAX // 4
"""Of these for one address: two of the largest batches."""

_HELD = "lintas.held"

T = TypeVar("T")


class BodyRoom:
    """Bytes of bodies that may be in memory at once. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        """Begin empty."""
        self._taken = 0
        self._shares: Counter[str] = Counter()

    def take(self, source: str, size_bytes: int) -> None:
        """Make room for a chunk from this address, or raise Busy."""
        share_max = BODIES_BYTES_MAX if source in figures.LOCAL else BODIES_SHARE_BYTES_MAX
        if self._taken + size_bytes > BODIES_BYTES_MAX or self._shares[source] + size_bytes > share_max:
            raise Busy(retry_after=1)
        self._taken += size_bytes
        self._shares[source] += size_bytes

    def give(self, source: str, size_bytes: int) -> None:
        """Give room back."""
        self._taken -= size_bytes
        self._shares -= Counter({source: size_bytes})


class Releasing:
    """The application, giving back at the end of each request what it held."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand around this application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        held: list[Callable[[], None]] = []
        scope[_HELD] = held
        try:
            await self._app(scope, receive, send)
        finally:
            for release in held:
                release()


def hold(request: Request, release: Callable[[], None]) -> None:
    """Have this called when the request has ended."""
    request.scope[_HELD].append(release)


def body_room_of(request: Request) -> BodyRoom:
    """Return the room that bodies share."""
    room: BodyRoom = request.app.state.body_room
    return room


def limits_of(request: Request) -> Limits:
    """Return what agencies and addresses may ask."""
    limits: Limits = request.app.state.limits
    return limits


def source_of(request: Request) -> str:
    """Return the address that a request is counted under; a proxy's word on it counts if the proxy is trusted."""
    return figures.source_of(*_hops(request))


def address_of(request: Request) -> figures.Address | None:
    """Return the very address that a request came from, as far as it is known; a proxy's word counts as above."""
    return figures.address_of(*_hops(request))


def public(request: Request) -> None:
    """Charge the address for a page that needs no token; raise RateLimited while it is in debt."""
    limits, source = limits_of(request), source_of(request)
    limits.check_address(source)
    limits.charge_address(source, figures.PUBLIC_COST)


def charge_rows(request: Request, caller: Caller, rows: int) -> None:
    """Charge a caller for the rows of a page that it asks for."""
    limits_of(request).charge_reads(caller.party, rows // figures.ROWS_A_UNIT)


def let_in(request: Request, header: Header, count: int = 1) -> None:
    """Let so many lines whose signatures are good go on; raise RateLimited or Busy when their issuer sent too many."""
    limits = limits_of(request)
    limits.check_lines(header.iss)
    hold(request, limits.begin_lines(header.iss, source_of(request), count))


def charge_line(request: Request, header: Header, *, is_new: bool) -> None:
    """Charge a line that was worked on.

    Its issuer pays for what it sent first. What the hub had already may come from anyone who holds a copy, an enrolment
    from anyone who made a key.
    """
    key = _hub_of(request).directory.keys.get(header.kid)
    if is_new and key is not None and key.party == header.iss:
        limits_of(request).charge_lines(header.iss)
    else:
        limits_of(request).charge_address(source_of(request), figures.REPLAY_COST)


async def submit_line(request: Request, job: Callable[[Batch], T | Refusal], line: Line) -> Done[T]:
    """Let a line in, queue its job, charge its refusal if that is on record; raise it."""
    let_in(request, line.header)
    try:
        return await submit(_hub_of(request), job, (line.id,))
    except Refusal as refusal:
        if refusal.is_logged:
            charge_line(request, line.header, is_new=True)
        raise


def count_stranger(request: Request, code: str) -> None:
    """Count a refusal that no key stands behind, and charge its address for it."""
    source = source_of(request)
    _hub_of(request).strangers.count(source, code)
    limits_of(request).refused(source, code)


def _hops(request: Request) -> tuple[str | None, str, tuple[figures.Network, ...]]:
    forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
    return request.client.host if request.client else None, forwarded, limits_of(request).trusted


def _hub_of(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub
