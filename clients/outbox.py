"""The commands about what goes out: what waits for an officer, what waits for the hub, what its log may have lost."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from clients.acting import acting, settings_of_user
from clients.gateway import approving
from clients.gateway.approving import open_postings
from clients.gateway.postings import Postings
from clients.show import print_table
from lintas.client import Client
from lintas.errors import HubUnreachable, Refusal
from lintas.header import BULLETIN
from lintas.line import parse
from lintas.resend import Held, Resent, held
from lintas.state import REFUSED, WAITING

EXIT_REFUSED = 1


@click.command()
@click.option("--send", is_flag=True, help="Send what waits.")
@click.option("--show", type=int, metavar="DRAFT", help="Show a draft that a tool posted to the gateway.")
@click.option("--approve", type=int, multiple=True, metavar="DRAFT", help="Let the gateway publish it; repeat.")
@click.option("--discard", type=int, multiple=True, metavar="DRAFT", help="Never publish it; repeat.")
@click.option("--yes", is_flag=True, help="Do not ask before approving.")
def outbox(*, send: bool, show: int | None, approve: tuple[int, ...], discard: tuple[int, ...], yes: bool) -> None:
    """List what has not gone out: drafts that tools posted to `lintas gateway`, signed lines not accepted yet.

    A draft waits until an officer approves it, having seen who will receive it. The gateway then signs it for exactly
    these and publishes it.

    \b
    Example: lintas outbox --send
    Example: lintas outbox --show 7
    Example: lintas outbox --approve 7
    """
    settings = settings_of_user()
    postings = open_postings(settings.identity)
    if postings is None and (show is not None or approve or discard):
        raise click.UsageError("No gateway ever ran with this identity, so there are no drafts.")
    with acting(settings) as client:
        if postings is not None:
            _decide(client, postings, show=show, approve=approve, discard=discard, yes=yes)
        if send:
            outcomes = client.flush()
            click.echo(f"{sum(not isinstance(each, Refusal) for each in outcomes)} of {len(outcomes)} accepted")
        state = client.session.state
        rows = [
            (each.id, each.state, each.problem or "") for each in (*state.outgoing(WAITING), *state.outgoing(REFUSED))
        ]
        print_table(("line", "state", "problem"), rows)


def _look(client: Client) -> None:
    try:
        client.sync()
    except HubUnreachable:
        click.echo("the hub does not answer: recipients are those of the last look at the log", err=True)


def _decide(
    client: Client,
    postings: Postings,
    *,
    show: int | None,
    approve: tuple[int, ...],
    discard: tuple[int, ...],
    yes: bool,
) -> None:
    if show is not None:
        approving.show(postings, show)
    if approve:
        _look(client)
    for number in approve:
        approving.approve(client, postings, number, yes=yes)
    for number in discard:
        approving.discard(postings, number)
    if show is None:
        approving.print_held(postings)


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
