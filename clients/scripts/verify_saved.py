"""Verify a saved bulletin with its receipt, without asking the hub.

python -m clients.scripts.verify_saved bulletin.line receipt.txt

The log key pinned in the identity and the keys proven so far are enough; run any other script first to learn them.
"""

from __future__ import annotations

from pathlib import Path

import click

from clients.settings import open_client, read_settings
from lintas import LintasError

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("line", type=FILE)
@click.argument("receipt", type=FILE)
def main(line: Path, receipt: Path) -> None:
    """Check that LINE is signed by its issuer, and that RECEIPT proves its place in the log."""
    try:
        with open_client(read_settings()) as client:
            logged = client.verify(line.read_bytes().rstrip(b"\n"), receipt.read_bytes())
    except LintasError as fault:
        raise click.ClickException(str(fault)) from fault
    click.echo(f"verified: event {logged.seq} of a log of {logged.size}, root {logged.root.hex()}")


if __name__ == "__main__":
    main()
