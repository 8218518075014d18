"""Commands for webhooks: where the hub pushes an agency's subscriptions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from clients.settings import open_client, read_settings
from clients.show import print_table, safe
from lintas.client import Client
from lintas.errors import BadSettings


@click.group()
def webhook() -> None:
    """Let the hub push a subscription to an address of yours.

    `feed` is everything released to you. The receiver must answer the hub's challenge first.
    """


@webhook.command("set")
@click.argument("subscription")
@click.argument("url", required=False)
@click.option("--url-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Read the address here.")
def set_command(subscription: str, url: str | None, url_file: Path | None) -> None:
    """Push SUBSCRIPTION to URL from now on, in place of an earlier address; also revives a dead webhook.

    A secret in the path is better read from a file than typed where others see it.

    \b
    Example: lintas webhook set feed https://receiver.example/lintas
    """
    if (url is None) == (url_file is None):
        raise click.UsageError("Name the address, or the file it is in with --url-file.")
    address = url if url_file is None else url_file.read_text().strip()
    with _client() as client:
        client.set_webhook(subscription, address)
        key = client.webhook_key()
    click.echo(f"{subscription}: waits for the receiver's answer to the challenge (lintas webhook list)")
    click.echo(f"calls are signed with {safe(key)}")


@webhook.command()
@click.argument("subscription")
def remove(subscription: str) -> None:
    """Push SUBSCRIPTION no more; its place is kept and can be pulled from.

    \b
    Example: lintas webhook remove feed
    """
    with _client() as client:
        client.set_webhook(subscription, None)
    click.echo(f"{subscription}: not pushed any more")


@webhook.command("list")
def list_command() -> None:
    """List webhooks with what waits for them.

    \b
    Example: lintas webhook list
    """
    with _client() as client:
        found = client.webhooks()
    columns = ("subscription", "host", "state", "tries", "next_at", "code", "pending")
    rows = [tuple("" if each.get(name) is None else str(each[name]) for name in columns) for each in found]
    print_table(columns, rows)
    if not rows:
        click.echo("no webhooks")


@contextmanager
def _client() -> Iterator[Client]:
    with open_client(read_settings(prompt=_prompt)) as client:
        client.sync()
        yield client


def _prompt(text: str) -> str:
    if not sys.stdin.isatty():
        raise BadSettings("LINTAS_PASSPHRASE_FILE is not set and nobody is there to ask.")
    answer: str = click.prompt(text, hide_input=True, err=True)
    return answer
