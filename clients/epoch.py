"""The command by which a person goes over to a new epoch of the hub's log."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

from clients.acting import acting, settings_of_user
from clients.settings import Settings, read_policy
from clients.show import confirm, safe
from lintas.client import Client
from lintas.epoch import Standing, check_epochs
from lintas.errors import BadRequest, BadSettings, NewEpoch
from lintas.keys import load_identity, save_identity
from lintas.memory import path_of, take_over
from lintas.note import parse_vkey
from lintas.quorum import judge
from lintas.resend import held
from lintas.state import SENT, State, pinned_in
from lintas.succession import look, offered_key

EXIT_UNDECIDED = 1

IN_MEMORY = ":memory:"


@click.command()
@click.option("--accept", metavar="LOG_KEY", help="Go over to the log of this key, told you over another channel.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def epoch(accept: str | None, *, yes: bool) -> None:
    """Show whether the hub has begun its log anew and what that loses; go over to it with --accept.

    Nothing goes over by itself: whoever has stolen the key of the log can begin one too. Ask an administrator for
    the new key by telephone or face to face, never through the hub, and give it to --accept. The former memory stays
    beside the new one, so old receipts can be checked as before. Stop other programs of this identity first.

    Exit code 1 while there is one to decide about.

    \b
    Example: lintas epoch
    Example: lintas epoch --accept "lintas.example-k3v9q2xa/log/2+5d1e3c7a+AbK9..."
    """
    settings = settings_of_user()
    with acting(settings) as client:
        key = accept.strip() if accept is not None else client.run(offered_key())
        click.echo(f"pinned     {client.session.origin}")
        if not _is_later(key, client):
            if accept is not None:
                raise BadRequest("This is the key of no later epoch than the pinned one.")
            click.echo("nothing to decide: the hub shows no later epoch")
            return
        if accept is not None:
            _go_over(client, key, settings, yes=yes)
            return
        with _offered(client, key, IN_MEMORY, settings) as offered:
            _show(client, key, offered.run(look(client.session, offered.session)))
    click.echo("compare the key over another channel, then: lintas epoch --accept LOG_KEY", err=True)
    sys.exit(EXIT_UNDECIDED)


def _is_later(key: str, client: Client) -> bool:
    try:
        check_epochs(parse_vkey(key).name, client.session.origin)
    except NewEpoch:
        return True
    return False


def _offered(client: Client, key: str, memory: Path | str, settings: Settings) -> Client:
    identity = client.session.identity.with_log_key(key)
    return Client(identity, State(memory, log_key=key), clock=client.session.clock, ca=settings.ca)


def _go_over(client: Client, key: str, settings: Settings, *, yes: bool) -> None:
    origin, session = parse_vkey(key).name, client.session
    path = path_of(settings.identity, origin)
    if path.exists() and (pinned_in(path) or "").partition("+")[0] != origin:
        raise BadSettings(f"{path} is the memory of something else: move it, or rename the identity.")
    aside = path.with_name(f".{path.name}.part")
    # What a command left that was killed.
    for leftover in aside.parent.glob(f"{aside.name}*"):
        leftover.unlink()
    with _offered(client, key, aside, settings) as offered:
        _show(client, key, offered.run(look(session, offered.session)))
    if not yes:
        confirm("Was this very key told you over another channel, and do you go over to its log?")
    # Nobody writes into the former outbox while it is taken over.
    with session.state.transaction():
        with closing(State(aside, log_key=key)) as new:
            take_over(session.state, new)
        aside.replace(path)
        # The moment of going over: before it the former epoch is pinned, and the new memory is nobody's.
        pinned = load_identity(settings.identity, settings.passphrase).with_log_key(key)
        save_identity(settings.identity, pinned, settings.passphrase)
    click.echo(f"now pinned {origin}")
    bulletins = len(held(session))
    if bulletins:
        click.echo(f"{bulletins} bulletins of yours stood in the former log: lintas resend brings them back", err=True)


def _show(client: Client, key: str, found: Standing) -> None:
    """Show what is offered, and what it leaves out of what this memory has seen."""
    quoted = found.quoted
    click.echo(f"offered    {parse_vkey(key).name}")
    click.echo(f"log key    {key}")
    click.echo(f"former     {quoted.origin} ends at {quoted.size} entries, root {quoted.root.hex()}")
    click.echo(f"           {_signed(found)}; {_witnessed(client, found)}")
    click.echo(f"seen here  {_seen(found)}")
    mine = [each for each in client.session.state.outgoing(SENT) if (each.seq or 0) >= quoted.size]
    if found.is_known and mine:
        click.echo(f"           {len(mine)} of them are bulletins of yours")
    agreed = "as this memory knows them" if found.is_known else "which this memory cannot check"
    click.echo(f"directory  {found.former.carried} events go on: partners, keys, grants, {agreed}")


def _signed(found: Standing) -> str:
    if found.is_known:
        return "signed with a key of the log that you pinned"
    return click.style(f"signed with a key that this memory does not know: {found.former.log_key.text()}", fg="red")


def _witnessed(client: Client, found: Standing) -> str:
    if not found.is_known:
        return "witnesses are not asked"
    policy = read_policy(client.session.log_keys)
    if policy is None:
        return "you have no policy that names witnesses"
    vouched = judge(found.former.checkpoint, key=client.session.log_keys, policy=policy)
    by = f"{len(vouched.names)} of {vouched.of} (policy)"
    if vouched.is_enough:
        return f"witnessed by {by}: {safe(', '.join(vouched.names))}"
    return click.style(f"cosigned by {by}, which is not enough", fg="red")


def _seen(found: Standing) -> str:
    known, size = found.known, found.quoted.size
    if known is None or not found.is_known:
        return "nothing of that epoch, so nothing can be compared"
    if found.lost:
        return click.style(
            f"{known.size} entries: the last {found.lost} are void, {size} to {known.size - 1}", fg="red"
        )
    if known.size == size:
        return f"{known.size} entries, the same tree"
    return f"{known.size} entries; that the {size - known.size} after them extend these is not proven"
