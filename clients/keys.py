"""The commands that renew: the keys of an identity, what was sealed to former ones."""

from __future__ import annotations

from dataclasses import replace

import click

from clients.acting import acting, settings_of_user
from clients.arguments import IdCommand
from clients.settings import Settings
from lintas import sealing
from lintas.client import Client
from lintas.errors import LintasError, Refusal
from lintas.keys import Identity, SigningKey, fresh_opening, save_identity
from lintas.opening import OpeningKey

DAY_S = 86_400


@click.command()
@click.option("--holder", default="duty desk", show_default=True, help="The post that holds the key, never a name.")
@click.option("--overlap-days", default=7, show_default=True, type=click.IntRange(0, 30), help="Old key signs on for.")
@click.option("--opening", "only_opening", is_flag=True, help="Renew the opening key alone, at once.")
def rotate(holder: str, overlap_days: int, *, only_opening: bool) -> None:
    """Hand over to a new key; it acts after 24 hours, or once an administrator approves it.

    The new key is in the identity file at once; run `lintas rotate` again after it became active to switch. An agency's
    opening key, to which bulletins are sealed, is renewed with it; `--opening` renews that one alone.

    \b
    Example: lintas rotate --overlap-days 7
    Example: lintas rotate --opening
    """
    settings = settings_of_user()
    with acting(settings) as client:
        client.sync()
        if only_opening:
            renew_opening(client, settings)
        elif client.session.identity.next_key is not None:
            _switch(client, settings)
        else:
            _hand_over(client, settings, holder, overlap_days * DAY_S)


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--to", multiple=True, metavar="AGENCY", help="Who cannot open it; may be given again.")
def reseal(line_id: str, to: tuple[str, ...]) -> None:
    """Publish an own sealed bulletin again, for the present opening keys of its recipients; it supersedes the old one.

    Needed when a recipient lost its keys and told new ones. Nothing but the sealing changes.

    \b
    Example: lintas reseal dGhpcyBpcyBhbiBleGFtcGxlIGlkIG9mIDMyIGJ5dGU --to sg-fiu
    """
    with acting() as client:
        client.sync()
        published = client.reseal(line_id, to=to)
    click.echo(f"{published.id}  index {published.seq}  supersedes {line_id}")


def renew_opening(client: Client, settings: Settings) -> None:
    """Make, keep and tell a new opening key; forget those that nothing readable is sealed to."""
    session = client.session
    key = sealing.untold(session) or fresh_opening()
    # The seed is on disk before the hub hears of the key: nothing may ever be sealed to a key that is lost.
    _save(client, settings, replace(session.identity, openings=_with(sealing.needed(session), key)))
    client.renew_opening(key)
    click.echo(f"opening key {key.kid} is told; bulletins are sealed to it from now on", err=True)


def renew_if_due(client: Client, settings: Settings) -> None:
    """Renew an opening key that soon ends. What stands in the way is said, and does not stop the command."""
    client.sync()
    if not sealing.is_renewal_due(client.session):
        return
    try:
        renew_opening(client, settings)
    except LintasError as fault:
        click.echo(f"the opening key is not renewed yet ({fault.code}): run `lintas rotate --opening`", err=True)


def _hand_over(client: Client, settings: Settings, holder: str, overlap_s: int) -> None:
    new, opening = SigningKey.generate(), None
    openings = client.session.identity.openings
    if not client.party.startswith("admin/"):
        opening = sealing.untold(client.session) or fresh_opening()
        openings = _with(sealing.needed(client.session), opening)
    # All seeds are on disk before the hub hears of the new keys.
    _save(client, settings, replace(client.session.identity, next_key=new, openings=openings))
    client.rotate(new, holder=holder, overlap_s=overlap_s, opening=opening)
    click.echo(f"new key {new.kid} acts in 24 hours, or at once when an administrator approves it")


def _switch(client: Client, settings: Settings) -> None:
    identity = client.session.identity
    assert identity.next_key is not None
    state = client.directory.key(identity.next_key.kid, identity.party).state(client.session.now())
    if state != "active":
        raise Refusal(f"The next key is {state}; it acts 24 hours after the rotation, or when approved.")
    _save(client, settings, replace(identity, key=identity.next_key, next_key=None))
    click.echo(f"now signing with {client.session.identity.key.kid}")


def _save(client: Client, settings: Settings, identity: Identity) -> None:
    save_identity(settings.identity, identity, settings.passphrase)
    client.session.identity = identity


def _with(openings: tuple[OpeningKey, ...], key: OpeningKey) -> tuple[OpeningKey, ...]:
    return (*(each for each in openings if each.kid != key.kid), key)
