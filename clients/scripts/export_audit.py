"""Print the audit log as JSON Lines, newest first.

python -m clients.scripts.export_audit > audit.jsonl

Needs an administrator's identity. Each page read is itself an event, above the first page and so not printed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from clients.settings import open_client, read_settings
from lintas import Client, LintasError


@click.command()
@click.option("--kind", help="Only events of this kind, such as bulletin.accepted.")
def main(kind: str | None) -> None:
    """Print every event of the audit log, one JSON object a line."""
    try:
        with open_client(read_settings()) as client:
            for event in read_events(client, kind=kind):
                click.echo(json.dumps(event, ensure_ascii=False))
    except LintasError as fault:
        raise click.ClickException(str(fault)) from fault


def read_events(client: Client, *, kind: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield events page by page, from the newest to the first."""
    page = client.admin_events(kind=kind, limit=1_000)
    yield from page["events"]
    while page["next"] is not None:
        page = client.admin_events(kind=kind, limit=1_000, before=page["next"])
        yield from page["events"]


if __name__ == "__main__":
    main()
