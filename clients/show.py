"""Showing bulletins, keys, tables as text.

Free text of a partner is untrusted: control and direction characters are shown as escapes, links are never made.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from lintas import vocabulary
from lintas.bulletin import Bulletin, has_person_data
from lintas.directory import Directory
from lintas.feed import Received
from lintas.header import EVERYONE, Header
from lintas.lint import REFUSE, Finding
from lintas.strict import parse_object

TLP_COLOURS = {"CLEAR": "white", "GREEN": "green", "AMBER": "yellow", "AMBER+STRICT": "yellow", "RED": "red"}


def safe(text: str) -> str:
    """Return text that cannot move the cursor or turn the reading direction."""
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
        else f"\\u{ord(character):04x}"
        for character in text
    )


def confirm(text: str) -> None:
    """Ask before something that cannot be undone; refuse to guess where nobody is there."""
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to ask: add --yes to go on without asking.")
    click.confirm(text, abort=True, err=True)


def show_recipients(header: Header, name: str) -> None:
    """Say on standard error what was signed for whom, before it is sent."""
    everyone = "every partner, later ones too"
    to = everyone if header.release_to == EVERYONE else f"{len(header.release_to)}: {' '.join(header.release_to)}"
    click.echo(f"{name}: {header.kind} on {header.topic}, {vocabulary.tlp_label(header.tlp or '')}", err=True)
    click.echo(f"  as {header.iss} to {to}", err=True)


def moment(seconds: int) -> str:
    """Write Unix seconds as RFC 3339 UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def received_members(item: Received, *, with_person_data: bool = True) -> dict[str, Any]:
    """Return a received bulletin as one JSON object for scripts.

    Without person data, a bulletin that has some, or is sealed and may have some, is shown by its header alone.
    """
    members: dict[str, Any] = {"seq": item.seq, "id": item.id}
    if item.state is not None:
        return members | {"state": item.state, "by": item.by, "marks": list(item.marks)}
    assert item.line is not None
    header = item.header
    payload = None if item.payload is None else parse_object(item.payload, floats=True)
    unopened = None if item.unopened is None else {"code": item.unopened.code, "title": item.unopened.title()}
    line: str | None = item.line.raw.decode()
    is_left_out = not with_person_data and (item.content is None or has_person_data(item.content))
    if is_left_out:
        payload = line = None
    return members | {
        "issuer": header.iss,
        "kind": header.kind,
        "topic": header.topic,
        "tlp": header.tlp,
        "urgency": header.urgency,
        "release_to": list(header.release_to),
        "refs": list(header.refs),
        "signed": moment(header.iat),
        "valid_until": moment(header.exp or 0),
        "marks": list(item.marks),
        "recalled_by": list(item.recalled_by),
        "verified": True,
        "sealed": item.is_sealed,
        "unopened": unopened,
        "purpose_needed": is_left_out,
        "payload": payload,
        "line": line,
    }


def print_received(item: Received, *, whole: bool = False) -> None:
    """Print a received bulletin: two lines, or the whole."""
    marks = "".join(click.style(f" [{safe(mark)}]", fg="red") for mark in item.marks)
    if item.state is not None:
        click.echo(f"{item.seq:>8}  {item.state.upper()}  {item.id}" + (f" by {item.by}" if item.by else "") + marks)
        return
    header = item.header
    label = click.style(vocabulary.tlp_label(header.tlp or ""), fg=TLP_COLOURS[header.tlp or "RED"], bg="black")
    marks = (" [sealed]" if item.is_sealed else "") + marks
    click.echo(f"{item.seq:>8}  {label} {header.urgency} {header.kind} {header.topic} from {header.iss}{marks}")
    click.echo(f"{'':>10}{_title(item)}")
    for recall in item.recalled_by:
        click.echo(f"{'':>10}recalled in part by {safe(recall)}")
    click.echo(f"{'':>10}{item.id} verified")
    if whole and item.content is not None:
        print_whole(item)


def _title(item: Received) -> str:
    if item.content is not None:
        return safe(item.content.title)
    assert item.unopened is not None
    return click.style(f"not opened: {safe(str(item.unopened))}", fg="red")


def print_whole(item: Received) -> None:
    """Print the content of a verified bulletin."""
    assert item.content is not None
    header, content = item.header, item.content
    click.echo(f"\nsigned     {moment(header.iat)}   valid until {moment(header.exp or 0)}")
    click.echo(f"recipients {' '.join(header.release_to)}")
    for ref in header.refs:
        click.echo(f"refers     {ref}")
    for name, value in _facts(content):
        if value:
            click.echo(f"{name:<11}{safe(value)}")
    click.echo(f"\n{safe(content.summary)}\n")
    for number, question in enumerate(content.questions, 1):
        click.echo(f"{number}. {safe(question)}")
    if content.indicators:
        rows = [(each.type, safe(each.value), safe(each.role or "")) for each in content.indicators]
        print_table(("indicator", "value", "role"), rows)


def _facts(content: Bulletin) -> Iterable[tuple[str, str | None]]:
    """Yield what a bulletin says beside its text, in the order of its kinds; empty where it says nothing."""
    yield "for", " ".join(content.named_recipients)
    yield "marked so", content.marking_reason
    yield "handling", " ".join((*content.handling, *content.caveats))
    yield "note", content.handling_note
    yield "severity", content.severity
    if content.grading is not None:
        yield "graded", content.grading.source + content.grading.information
    if content.event is not None:
        yield "happened", " ".join(filter(None, (content.event.time, content.event.place, content.event.position)))
    yield "case", content.case_ref
    if content.purpose is not None:
        yield "purpose", f"{content.purpose.code}: {content.purpose.statement}"
        yield "legal", content.purpose.legal_basis
    yield "answer due", content.answer_due
    yield "result", content.result
    yield "reason", content.reason
    yield "permission", content.permission
    yield "pass to", " ".join(content.pass_to)
    yield "asked by", content.requester
    yield "counts", " ".join(f"{name}={count}" for name, count in (content.counts or {}).items())


def print_findings(where: str, findings: Iterable[Finding]) -> None:
    """Print what the data-protection checks found in a draft, to standard error."""
    for each in findings:
        colour = "red" if each.level == REFUSE else "yellow"
        click.echo(f"{where}: {click.style(each.level, fg=colour)} {each.code} at {safe(each.member)}", err=True)
        click.echo(f"  {each.text}", err=True)


def print_keys(directory: Directory, party: str | None, now: int) -> None:
    """Print the signing keys of a party (None: of all), newest last, then the opening keys that are current."""
    found = sorted(directory.keys.values(), key=lambda key: key.enrolled_seq)
    rows = [
        (key.kid, key.party, key.state(now), moment(key.not_after), safe(key.holder))
        for key in found
        if party in (None, key.party)
    ]
    print_table(("fingerprint", "party", "state", "not after", "holder"), rows)
    agencies = sorted(directory.partners) if party is None else [party]
    opening = [record for agency in agencies if (record := directory.opening_key(agency, now)) is not None]
    print_table(
        ("opening key", "party", "not after"),
        [(record.kid, record.party, moment(record.not_after)) for record in opening],
    )


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns of text, as wide as they must be."""
    if not rows:
        return
    widths = [max(len(str(row[column])) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = [safe(str(cell)).ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
