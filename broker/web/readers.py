"""What readers do with a bulletin, over HTTP: their acknowledgements in, the originator's view out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from broker import proofs
from broker.acks import Acked, admit_ack, open_posted
from broker.delivery import in_reader, submit_as
from broker.readers import Reader, Step, readers_of
from broker.web.bulletins import viewed
from broker.web.charging import charge_line, submit_line
from broker.web.current import opened
from broker.web.http import PRIVATE, agency_of, check_params, hub_of, json_response, read_line, rfc3339
from lintas.header import ACK, LINE_BYTES_MAX

router = APIRouter(prefix="/v1/bulletins", tags=["readers"])


@router.post("/{id}/ack", status_code=201, summary="A reader opened or acknowledged a bulletin")
async def post_ack(request: Request, line_id: Annotated[str, Path(alias="id")]) -> Response:
    """One `vnd.lintas.ack` line. A state that is known already is answered with the line that said it first."""
    check_params(request, ())
    hub = hub_of(request)
    raw = await read_line(request, ACK, LINE_BYTES_MAX[ACK])
    word = await opened(hub, lambda directory: open_posted(raw, directory, line_id))
    done = await submit_line(request, lambda batch: admit_ack(batch, word), word.line)
    acked = done.value
    assert isinstance(acked, Acked)
    charge_line(request, word.line.header, is_new=acked.is_new)
    if done.signed is not None and acked.seq in done.signed.bodies:
        receipt = done.signed.receipt(acked.seq)
    else:
        receipt = await in_reader(hub, lambda conn: proofs.receipt(conn, acked.seq))
    members = {"id": acked.id, "state": acked.state, "seq": acked.seq, "receipt": receipt.decode()}
    return json_response(members, 201 if acked.is_new else 200, {**PRIVATE, "ETag": f'"{acked.id}"'})


@router.get("/{id}/readers", summary="Who has a bulletin of the caller's own")
async def readers(request: Request, line_id: Annotated[str, Path(alias="id")]) -> Response:
    """For each recipient: released or withheld, sent, received, opened, acknowledged, with index and time of each."""
    check_params(request, ())
    hub, caller = hub_of(request), agency_of(request)
    found = await in_reader(hub, lambda conn: readers_of(conn, hub.directory, caller.party, line_id))
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "readers", line_id))
    return json_response({"id": found.id, "seq": found.seq, "readers": [_reader(each) for each in found.readers]})


def _reader(found: Reader) -> dict[str, Any]:
    members: dict[str, Any] = {"agency": found.agency, "state": found.state}
    members |= {step: _step(each) for step, each in found.steps.items()}
    if found.ways:
        members["sent"]["ways"] = list(found.ways)
    return members


def _step(found: Step) -> dict[str, Any]:
    members: dict[str, Any] = {"seq": found.seq, "time": rfc3339(found.time)}
    return members if found.line is None else members | {"line": found.line.decode()}
