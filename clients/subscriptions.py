"""The commands `lintas subscription ...`."""

from __future__ import annotations

import click

from clients.acting import acting
from clients.show import print_table
from lintas.filter import MEMBERS
from lintas.subscribe import Subscription


@click.group()
def subscription() -> None:
    """Keep named places in your feed at the hub, each with a filter and a cursor of its own.

    \b
    lintas subscription set scams --topic cyber.scam --start beginning
    lintas follow --subscription scams
    """


@subscription.command("set")
@click.argument("name")
@click.option("--topic", multiple=True, help="This topic with its sub-topics.")
@click.option("--kind", multiple=True, help="This kind of bulletin.")
@click.option("--from", multiple=True, help="This issuer.")
@click.option("--country", multiple=True, help="Issuers of this country, such as my.")
@click.option("--urgency", multiple=True, help="This urgency.")
@click.option("--tlp", multiple=True, help="This marking, such as AMBER.")
@click.option("--indicator", multiple=True, help="With an indicator of this type (clear bulletins).")
@click.option("--watch", multiple=True, help="With an indicator of this watch list of yours (clear bulletins).")
@click.option("--watch", multiple=True, help="What this watch list of yours finds.")
@click.option("--start", default="now", show_default=True, help="now, beginning, or an index of the log; when made.")
def set_(name: str, start: str, **given: tuple[str, ...]) -> None:
    """Make a subscription, or exchange the filter of one and keep its cursor. Each option may be given many times.

    \b
    Example: lintas subscription set urgent --urgency flash --urgency urgent
    """
    wanted = {member: list(given[member]) for member in MEMBERS if given[member]}
    with acting() as client:
        found = client.subscribe(name, wanted, start=int(start) if start.isdecimal() else start)
    _print([found])


@subscription.command("list")
def list_() -> None:
    """List your subscriptions with filter and cursor.

    \b
    Example: lintas subscription list
    """
    with acting() as client:
        _print(client.subscriptions())


@subscription.command("move", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("cursor", type=click.IntRange(-1))
def move(name: str, cursor: int) -> None:
    """Move a cursor: forward, everything up to it counts as received; back, it is delivered again (-1: from the start).

    \b
    Example: lintas subscription move scams 1200
    """
    with acting() as client:
        _print([client.move(name, cursor)])


@subscription.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """End a subscription; what it delivered stays on record.

    \b
    Example: lintas subscription remove scams
    """
    with acting() as client:
        client.unsubscribe(name)
    click.echo(f"{name} removed")


def _print(found: list[Subscription]) -> None:
    rows = [(each.name, str(each.cursor), _words(each)) for each in found]
    print_table(("subscription", "cursor", "filter"), rows)


def _words(found: Subscription) -> str:
    members = found.wanted.members()
    return " ".join(f"{name}={','.join(values)}" for name, values in members.items()) or "everything"
