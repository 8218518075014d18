"""Who calls at the doors for other protocols, `/taxii2/` with `/misp/`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from broker import read_tokens
from broker.read_tokens import ReadCaller
from broker.web.charging import address_of, hold, limits_of, source_of
from broker.web.http import agency_of, hub_of, problem
from lintas.errors import LintasError, Unauthorized

SCHEMES = 'Basic realm="Lintas", charset="UTF-8", Bearer'
"""What a program may call with here: a read token as either, a self-signed token as Bearer."""

UNAUTHORIZED = 401


def interop_caller_of(request: Request) -> ReadCaller:
    """Return who reads, charged for a read; raise Unauthorized, NotAllowed, RateLimited or Busy."""
    hub, limits = hub_of(request), limits_of(request)
    text = read_tokens.text_of(request.headers.get("authorization"))
    if text is None:
        return read_tokens.of_signed(agency_of(request))
    try:
        caller = read_tokens.find(text, hub.directory, hub.now(), address_of(request))
    except Unauthorized:
        # Only now: a token that holds is let through, as others may share its address.
        limits.check_address(source_of(request))
        raise
    limits.check_reads(caller.agency)
    limits.charge_reads(caller.agency)
    hold(request, limits.begin_read(caller.agency))
    return caller


def problem_here(_request: Request, error: LintasError) -> Response:
    """Answer with a problem; who is not known is told by which schemes to call."""
    return with_schemes(problem(error))


def with_schemes(response: Response) -> Response:
    """Name the schemes in an answer to somebody who is not known."""
    if response.status_code == UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = SCHEMES
    return response
