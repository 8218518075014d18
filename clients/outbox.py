"""The commands about lines that were signed here before: what waits for the hub, what its log may have lost."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from clients.acting import acting
from clients.show import print_table
from lintas.errors import Refusal
from lintas.header import BULLETIN
from lintas.line import parse
from lintas.resend import Held, Resent, held
from lintas.state import REFUSED, WAITING

EXIT_REFUSED = 1


@click.command()
@click.option("--send", is_flag=True, help="Send what waits.")
def outbox(*, send: bool) -> None:
    """List signed lines that the hub has not accepted, and send them again.

    \b
    Example: lintas outbox --send
    """
    with acting() as client:
        if send:
            outcomes = client.flush()
            click.echo(f"{sum(not isinstance(each, Refusal) for each in outcomes)} of {len(outcomes)} accepted")
        state = client.session.state
        rows = [
            (each.id, each.state, each.problem or "") for each in (*state.outgoing(WAITING), *state.outgoing(REFUSED))
        ]
        print_table(("line", "state", "problem"), rows)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
def resend(folder: Path | None) -> None:
    """Post again everything the hub once accepted from here, when its log lost something or was begun anew.

    Nothing is signed anew; what the hub still has is left as it is. FOLDER is one that `publish --save` filled, instead
    of the outbox.

    \b
    Example: lintas resend
    Example: lintas resend sent
    """
    with acting() as client:
        bulletins = held(client.session) if folder is None else _saved(folder)
        outcomes = [(each, client.resend([each])[0]) for each in bulletins]
    refused = [(each.line.id, outcome.code) for each, outcome in outcomes if isinstance(outcome, Refusal)]
    new = sum(isinstance(outcome, Resent) and outcome.is_new for _, outcome in outcomes)
    click.echo(f"{len(outcomes)} sent again: {new} were lost and are back, {len(refused)} refused")
    if refused:
        print_table(("line", "problem"), refused)
        sys.exit(EXIT_REFUSED)


def _saved(folder: Path) -> list[Held]:
    found = []
    for path in folder.glob("*.line"):
        proof = path.with_suffix(".tlog-proof")
        receipt = proof.read_bytes() if proof.exists() else b""
        found.append(Held(parse(path.read_bytes().removesuffix(b"\n"), BULLETIN), receipt or None))
    # In the order they were signed in: what refers to another comes after it.
    return sorted(found, key=lambda each: each.line.header.iat)
