"""Print the audit log as JSON Lines, newest first.

python -m clients.scripts.export_audit > audit.jsonl
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
    """Print every event of the audit log, one JSON object a line. Needs an administrator's identity."""
    try:
        with open_client(read_settings()) as client:
            for event in read_events(client, kind=kind):
                click.echo(json.dumps(event, ensure_ascii=False))
    except LintasError as fault:
        raise click.ClickException(str(fault)) from fault


def read_events(client: Client, *, kind: str | None = None, limit: int = 1_000) -> Iterator[dict[str, Any]]:
    """Yield events page by page, down to the first; reading a page adds an event above it, which is not yielded."""
    page = client.admin_events(kind=kind, limit=limit)
    yield from page["events"]
    while page["next"] is not None:
        page = client.admin_events(kind=kind, limit=limit, before=page["next"])
        yield from page["events"]


if __name__ == "__main__":
    main()
