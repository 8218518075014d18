"""Print every new bulletin once, verified, then stop.

python -m clients.scripts.follow_feed

A bulletin printed counts as taken over: the next run goes on after it. Run it from cron, or in a loop.
"""

from __future__ import annotations

import click

from clients.settings import open_client, read_settings
from lintas import LintasError, Received


@click.command()
def main() -> None:
    """Print what was released to us since the last run."""
    try:
        with open_client(read_settings()) as client:
            for each in client.follow(once=True):
                click.echo(describe(each))
    except LintasError as fault:
        raise click.ClickException(str(fault)) from fault


def describe(each: Received) -> str:
    """Return one line of text; one that was withdrawn, or does not open, shows only what became of it."""
    if each.content is None:
        return f"{each.seq}  {each.id}  {each.unopened.code if each.unopened else each.state}"
    return f"{each.seq}  {each.id}  {each.header.iss}  TLP:{each.header.tlp}  {each.content.title}"


if __name__ == "__main__":
    main()
