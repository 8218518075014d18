"""The options by which somebody says why they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lintas import vocabulary
from lintas.client import Client

Command = Callable[..., Any]


def purpose_options(command: Command) -> Command:
    """Give a command the options --purpose, --case-ref and --officer."""
    for option in (
        click.option("--officer", help="The post that acts, never a name; stands in our own audit."),
        click.option("--case-ref", help="The case it is for."),
        click.option("--purpose", type=click.Choice(sorted(vocabulary.load().purposes)), help="Why it is opened."),
    ):
        command = option(command)
    return command


def with_purpose(client: Client, purpose: str | None, case_ref: str | None, officer: str | None) -> Client:
    """Return the client with the reason that was given; half a reason is none."""
    if purpose is None and case_ref is None and officer is None:
        return client
    if purpose is None or case_ref is None:
        raise click.UsageError("A purpose needs its case, and a case its purpose: give --purpose and --case-ref.")
    return client.with_purpose(purpose, case_ref, officer=officer)
