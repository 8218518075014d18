"""The client that a command acts with: its identity opened, its alarms shown at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from clients.settings import Settings, open_client, read_settings
from clients.show import safe
from lintas.client import Client
from lintas.errors import BadSettings


def settings_of_user() -> Settings:
    """Return the settings, the passphrase asked for where no file is named."""
    return read_settings(prompt=prompt)


@contextmanager
def acting(settings: Settings | None = None, *, origin: str | None = None) -> Iterator[Client]:
    """Open the client of the identity in the settings; show what must alarm somebody when it is done.

    `origin` asks for what it remembers of that epoch of the log instead of the pinned one.
    """
    with open_client(settings or settings_of_user(), origin=origin) as client:
        yield client
        for alarm in client.session.alarms():
            click.echo(click.style(f"ALARM {safe(alarm)}", fg="red"), err=True)


def prompt(text: str) -> str:
    """Ask for a passphrase; refuse to wait where nobody is there."""
    if not sys.stdin.isatty():
        raise BadSettings("LINTAS_PASSPHRASE_FILE is not set and nobody is there to ask.")
    answer: str = click.prompt(text, hide_input=True, err=True)
    return answer


def prompt_new(text: str) -> str:
    """Ask for a new passphrase, twice."""
    answer: str = click.prompt(text, hide_input=True, confirmation_prompt=True, err=True)
    return answer
