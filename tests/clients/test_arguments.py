"""Ids on the command line that begin as an option does."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from clients.arguments import IdCommand
from clients.cli import cli

HYPHEN_ID = "-h" + "A" * 41


@click.command(cls=IdCommand)
@click.argument("party")
@click.argument("kid")
@click.option("--reason")
def say(party: str, kid: str, reason: str | None) -> None:
    """Say what was given."""
    click.echo(f"{party} {kid} {reason}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("my-police", HYPHEN_ID, "--reason", "x"),
        ("--reason", "x", "my-police", HYPHEN_ID),
        ("--reason", "x", "--", "my-police", HYPHEN_ID),
    ],
)
def test_id_with_a_hyphen(arguments: tuple[str, ...]) -> None:
    """An id that begins with a hyphen is an argument, wherever it stands."""
    result = CliRunner().invoke(say, arguments)

    assert f"my-police {HYPHEN_ID} x\n" == result.output


def test_unknown_option() -> None:
    """What is no id and begins with a hyphen is an option, and refused when unknown."""
    assert 2 == CliRunner().invoke(say, ["my-police", "-x"]).exit_code


@pytest.mark.parametrize(
    "words",
    [("show",), ("receipt",), ("admin", "approve"), ("admin", "revoke"), ("admin", "countersign")],
)
def test_commands_that_take_ids(words: tuple[str, ...]) -> None:
    """Every command with an id among its arguments takes one that begins with a hyphen."""
    found: click.Command = cli
    for word in words:
        assert isinstance(found, click.Group)
        found = found.commands[word]

    assert isinstance(found, IdCommand)
