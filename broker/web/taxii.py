"""TAXII 2.1 over HTTP, the reading side: everything under `/taxii2/`.

Not in the OpenAPI document: the standard describes these endpoints, and parameters such as `match[type]` are something
else to the tools that read it. docs/spec/taxii.md says what of the standard is where.
"""

from __future__ import annotations

from fastapi import Request, Response

from broker.filling import Filling
from broker.limits import ROWS_A_UNIT
from broker.read_tokens import ReadCaller
from broker.taxii import PAGE_MAX, collection_of, collections, give_objects
from broker.web.charging import limits_of
from broker.web.http import hub_of, use_problems
from broker.web.interop import interop_caller_of
from lintas import taxii
from lintas.errors import LintasError, NotAllowed, NotFound
from lintas.header import BULLETIN, LINE_BYTES_MAX
from lintas.taxii import Asked, Endpoint

PATHS = ("/taxii2", "/taxii2/{rest:path}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
TITLE = "Lintas"
DESCRIPTION = "Bulletins as STIX 2.1. All agencies and bulletins are simulated."


async def endpoint(request: Request) -> Response:
    """Answer any request under `/taxii2/`."""
    use_problems(request, shown)
    caller = interop_caller_of(request)
    query = request.scope["query_string"].decode("latin-1")
    asked = taxii.read(request.method, request.scope["path"], query, request.headers)
    return _response(await _answer(request, caller, asked))


def shown(_request: Request, error: LintasError) -> Response:
    """Answer with an error message of TAXII."""
    return _response(taxii.refused(error))


def is_below(path: str) -> bool:
    """Tell whether a path belongs to TAXII."""
    return f"{path}/".startswith(taxii.DISCOVERY_PATH)


async def _answer(request: Request, caller: ReadCaller, asked: Asked) -> taxii.Answer:
    hub = hub_of(request)
    if asked.endpoint is Endpoint.DISCOVERY:
        return taxii.discovery(title=TITLE, description=DESCRIPTION, url=_url_of(request))
    if asked.endpoint is Endpoint.API_ROOT:
        return taxii.api_root(title=TITLE, description=DESCRIPTION, content_bytes_max=LINE_BYTES_MAX[BULLETIN])
    if asked.endpoint is Endpoint.STATUS:
        # Nothing is posted here, so there is no status.
        raise NotFound
    if asked.endpoint is Endpoint.COLLECTIONS:
        return taxii.collections(collections(hub, caller))
    found = collection_of(hub, caller, asked.collection)
    if asked.endpoint is Endpoint.COLLECTION:
        return taxii.collection(found)
    if asked.endpoint in {Endpoint.ADD, Endpoint.DELETE}:
        raise NotAllowed("A bulletin needs its agency's signature: publish with `lintas publish`.")
    limits_of(request).charge_reads(caller.agency, asked.wanted.limit_within(PAGE_MAX) // ROWS_A_UNIT)
    filling: Filling = request.app.state.filling
    await filling.catch_up()
    page = await give_objects(hub, caller, asked, found)
    return taxii.page(asked, page.records, is_more=page.is_full)


def _url_of(request: Request) -> str:
    # A proxy says that it was called over TLS. Whoever says so itself misleads only itself.
    scheme = "https" if request.headers.get("x-forwarded-proto") == "https" else request.url.scheme
    return f"{scheme}://{request.url.netloc}"


def _response(answer: taxii.Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
