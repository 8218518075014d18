"""The client that a command acts with, opened from the settings, with its alarms shown at the end."""

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
def open_desk() -> Iterator[Client]:
    """Open the client of this identity; print what somebody must look into when the command is done."""
    with open_client(read_settings(prompt=ask_passphrase)) as client:
        yield client
        for alarm in client.session.alarms():
            click.echo(click.style(f"ALARM {safe(alarm)}", fg="red"), err=True)


def ask_passphrase(text: str) -> str:
    """Ask for a passphrase; refuse to guess where nobody is there."""
    if not sys.stdin.isatty():
        raise BadSettings("LINTAS_PASSPHRASE_FILE is not set and nobody is there to ask.")
    answer: str = click.prompt(text, hide_input=True, err=True)
    return answer
