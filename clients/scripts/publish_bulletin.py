"""Publish one bulletin from a JSON draft, after showing who will receive it.

python -m clients.scripts.publish_bulletin draft.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import click

from clients.settings import open_client, read_settings
from lintas import LintasError, read_draft


@click.command()
@click.argument("draft", type=click.File("rb"))
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Keep the receipt in this file.")
def main(draft: IO[bytes], receipt: Path | None) -> None:
    """Publish the bulletin drafted in the JSON file DRAFT (`-` is standard input)."""
    try:
        with open_client(read_settings()) as client:
            client.sync()
            bulletin = read_draft(json.load(draft))
            click.echo(f"to       {', '.join(client.recipients(bulletin))}", err=True)
            published = client.publish(bulletin)
    except (LintasError, json.JSONDecodeError) as fault:
        raise click.ClickException(str(fault)) from fault
    if receipt is not None and published.receipt is not None:
        receipt.write_bytes(published.receipt)
    click.echo(published.id)


if __name__ == "__main__":
    main()
