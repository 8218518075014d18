"""Deciding on the drafts that tools posted, as an officer does who has seen them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from clients.gateway.database import Database
from clients.gateway.place import beside
from clients.gateway.postings import HELD, DraftRow, Postings
from clients.show import confirm, print_findings, print_table, safe
from lintas import vocabulary
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import NotFound, OrderConflict


def open_postings(identity: Path) -> Postings | None:
    """Return the postings of the gateway beside an identity; None where none ever ran."""
    path = beside(identity, "")
    return Postings(Database(path)) if path.exists() else None


def print_held(postings: Postings) -> None:
    """List the drafts that wait for an officer."""
    rows = []
    for row in postings.held():
        posting = postings.get(row.posting)
        assert posting is not None
        draft = read_draft(row.members)
        tlp, to = vocabulary.tlp_label(draft.tlp), " ".join(draft.release_to)
        by = posting.channel if not posting.name else f"{posting.channel} {posting.name}"
        left = str(len(posting.omitted)) if posting.omitted else ""
        rows.append((str(row.number), by, draft.kind, draft.topic, tlp, to, left, str(draft.members["title"])))
    print_table(("draft", "posted by", "kind", "topic", "tlp", "to", "left out", "title"), rows)


def show(postings: Postings, number: int) -> None:
    """Print a held draft as it would be signed, with what its posting had besides."""
    row = _held(postings, number)
    click.echo(safe(json.dumps(row.members, ensure_ascii=False, indent=1)))
    posting = postings.get(row.posting)
    for each in () if posting is None else posting.omitted:
        click.echo(f"not carried over: {safe(each.where)}: {safe(each.why)}", err=True)


def approve(client: Client, postings: Postings, number: int, *, yes: bool) -> None:
    """Let a held draft be signed for exactly the recipients that are shown; the gateway then publishes it."""
    row = _held(postings, number)
    draft = read_draft(row.members)
    release_to = client.session.recipients(draft)
    print_findings(f"draft {number}", client.lint(draft))
    _show(number, draft, release_to, client.party)
    if not yes:
        confirm(f"Let the gateway sign and publish draft {number}?")
    if not postings.approve(number, release_to):
        raise OrderConflict(f"Draft {number} was decided on in the meantime.")
    click.echo(f"draft {number}: approved")


def discard(postings: Postings, number: int) -> None:
    """End a held draft; posted again, it stays ended."""
    _held(postings, number)
    if not postings.discard(number):
        raise OrderConflict(f"Draft {number} was decided on in the meantime.")
    click.echo(f"draft {number}: discarded")


def _show(number: int, draft: Draft, release_to: tuple[str, ...], party: str) -> None:
    to = "every partner, later ones too" if release_to == ("*",) else f"{len(release_to)}: {' '.join(release_to)}"
    tlp = vocabulary.tlp_label(draft.tlp)
    click.echo(f"draft {number}: {draft.kind} on {draft.topic}, {tlp}: {safe(str(draft.members['title']))}", err=True)
    click.echo(f"  as {party} to {to}", err=True)


def _held(postings: Postings, number: int) -> DraftRow:
    row = postings.draft(number)
    if row is None:
        raise NotFound(f"The gateway has no draft {number}.")
    if row.state != HELD:
        raise OrderConflict(f"Draft {number} is {row.state}, not held.")
    return row
