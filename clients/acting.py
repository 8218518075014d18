"""Opening the identity that a command acts with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from clients.settings import open_client, read_settings
from clients.show import safe
from lintas.client import Client
from lintas.errors import BadSettings


@contextmanager
def acting() -> Iterator[Client]:
    """Yield the client of the identity that the environment names; show its alarms at the end."""
    with open_client(read_settings(prompt=ask)) as client:
        yield client
        for alarm in client.session.alarms():
            click.echo(click.style(f"ALARM {safe(alarm)}", fg="red"), err=True)


def ask(text: str) -> str:
    """Ask for a passphrase; raise BadSettings where nobody is there."""
    if not sys.stdin.isatty():
        raise BadSettings("LINTAS_PASSPHRASE_FILE is not set and nobody is there to ask.")
    answer: str = click.prompt(text, hide_input=True, err=True)
    return answer
