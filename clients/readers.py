"""The commands by which readers acknowledge a bulletin, or its originator looks who has it."""

from __future__ import annotations

import json
from typing import Any

import click

from clients.acting import acting
from clients.arguments import IdCommand
from clients.show import print_table, safe
from lintas.client import Client
from lintas.errors import HubUnreachable, Refusal
from lintas.readers import STEPS, Reader
from lintas.ways import delivered, is_of_tool


@click.command(cls=IdCommand)
@click.argument("line_ids", nargs=-1, required=True)
def ack(line_ids: tuple[str, ...]) -> None:
    """Tell originators, signed, that your agency has taken note of their bulletins.

    \b
    Example: lintas ack dGhpcyBpcyBhbiBleGFtcGxlIGlkIG9mIDMyIGJ5dGU
    """
    with acting() as client:
        for line_id in line_ids:
            told = client.acknowledge(line_id)
            click.echo(f"{told.id}  {told.state} at index {told.seq}")


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(line_id: str, *, as_json: bool) -> None:
    """Show who has a bulletin of yours: released or withheld, sent, received, opened, acknowledged.

    What readers opened and acknowledged was verified by their own signatures. What went to a tool of an agency by TAXII
    or as a MISP feed is named below.

    \b
    Example: lintas status dGhpcyBpcyBhbiBleGFtcGxlIGlkIG9mIDMyIGJ5dGU
    """
    with acting() as client:
        found = client.readers(line_id)
    if as_json:
        members = {"id": line_id, "verified": True, "readers": [reader_members(each) for each in found]}
        click.echo(json.dumps(members, ensure_ascii=False))
        return
    shown = STEPS[1:]
    rows = [
        (each.agency, each.progress, *(_time(each, step) for step in shown))
        for each in sorted(found, key=lambda each: each.agency)
    ]
    print_table(("recipient", "state", *shown), rows)
    for each in found:
        if any(is_of_tool(way) for way in each.ways):
            click.echo(safe(delivered(each.ways, each.agency)))


def tell_opened(client: Client, line_id: str) -> None:
    """Tell the originator that a bulletin was shown here; what cannot be told now waits in the outbox."""
    try:
        client.opened(line_id)
    except (HubUnreachable, Refusal) as fault:
        click.echo(f"its originator was not told that you opened it ({fault.code}): lintas outbox --send", err=True)


def reader_members(found: Reader) -> dict[str, Any]:
    """Return a reader as one JSON object for scripts."""
    members: dict[str, Any] = {"agency": found.agency, "state": found.state, "progress": found.progress}
    for step, each in found.steps.items():
        members[step] = {"seq": each.seq, "time": each.time}
        if step == "sent":
            members[step]["ways"] = list(found.ways)
        if each.line is not None:
            signed = {"signed_by": each.line.header.kid, "officer": each.line.header.sub}
            members[step] |= signed | {"line": each.line.raw.decode()}
    return members


def _time(found: Reader, step: str) -> str:
    return found.steps[step].time.partition(".")[0] + "Z" if step in found.steps else "-"
