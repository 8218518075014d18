"""Health, readiness, what a client must know before it signs."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from broker.auth import TOKEN_LIFE_S_MAX
from broker.delivery import in_reader
from broker.store import log
from broker.web.bulletins import BATCH_BYTES_MAX, BATCH_LINES_MAX, PAGE_MAX
from broker.web.charging import public
from broker.web.http import check_params, hub_of, json_response, rfc3339
from broker.writer import RETRY_AFTER_S, read_only
from lintas.ed25519 import public_key_of
from lintas.errors import Busy
from lintas.header import LINE_BYTES_MAX
from lintas.webhooks import key_text

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="The process is alive")
async def healthz(request: Request) -> Response:
    """Says nothing about the database."""
    check_params(request, ())
    public(request)
    return json_response({"status": "ok"})


@router.get("/readyz", summary="The hub accepts and serves")
async def readyz(request: Request) -> Response:
    """503 while the log is halted, the hub is leaving, the database does not answer, or replicas are not heard."""
    check_params(request, ())
    public(request)
    hub = hub_of(request)
    if hub.wakeup.is_leaving:
        raise Busy("This hub is stopping. Another one answers, or this one in a moment.", retry_after=RETRY_AFTER_S)
    if hub.writer.halted is not None:
        raise read_only(hub.writer.halted)
    if not hub.replica.is_hearing:
        raise Busy("Other replicas are not heard here: every request looks at the log first.", retry_after=1)
    newest = await in_reader(hub, log.newest_checkpoint)
    return json_response({"status": "ready", "size": newest[0] if newest else 0})


@router.get("/.well-known/lintas", summary="Name, log key, limits and time of this hub")
async def well_known(request: Request) -> Response:
    """Public. Names and keys here are for comparison with what you pinned; they prove nothing by themselves."""
    check_params(request, ())
    public(request)
    hub = hub_of(request)
    limits = {
        "line_bytes_max": dict(LINE_BYTES_MAX),
        "batch_lines_max": BATCH_LINES_MAX,
        "batch_bytes_max": BATCH_BYTES_MAX,
        "page_max": PAGE_MAX,
        "token_life_s_max": TOKEN_LIFE_S_MAX,
    }
    return json_response(
        {
            "name": hub.name,
            "origin": hub.signer.origin,
            "log_key": hub.signer.verifier.text(),
            "webhook_key": key_text(public_key_of(hub.secret.webhook_seed)),
            "limits": limits,
            "time": rfc3339(hub.clock()),
            "simulated": True,
        }
    )
