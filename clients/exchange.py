"""The commands that show what follows bulletins: what is due, threads, what was said."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from clients.acting import acting
from clients.arguments import IdCommand
from clients.show import print_received, print_table, received_members, safe
from lintas.due import Duty
from lintas.said import Answer, Consent, Said
from lintas.thread import Thread

OWED = {
    "to_acknowledge": "acknowledge to",
    "to_answer": "answer to",
    "waiting_for_answer": "wait for",
    "waiting_for_acknowledgement": "wait for",
}
HEAD = ("", "due", "what", "who", "kind", "urgency", "bulletin")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def due(*, as_json: bool) -> None:
    """List what you owe others and what others owe you: answers, acknowledgements, overdue first.

    \b
    Example: lintas due
    """
    with acting() as client:
        duties = client.due()
    if as_json:
        print_duties_as_json(duties)
        return
    waiting = [duty for duty in duties if duty.state in ("open", "withheld")]
    print_table(HEAD, [_duty_row(duty) for duty in waiting])
    if not waiting:
        click.echo("nothing is due", err=True)


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def thread(line_id: str, *, as_json: bool) -> None:
    """Show every bulletin that belongs together with this one, as far as you may read it, verified.

    \b
    Example: lintas thread ID
    """
    with acting() as client:
        found = client.thread(line_id)
    for item in found.items:
        if as_json:
            click.echo(json.dumps(received_members(item), ensure_ascii=False))
        else:
            print_received(item)
    _warn_cut(found)


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def feedback(line_id: str, *, as_json: bool) -> None:
    """Sum up what recipients found a bulletin worth: results, and what was done on it.

    Counted from the signed feedback that was released to you.

    \b
    Example: lintas feedback ID
    """
    with acting() as client:
        found = client.thread(line_id)
    said = found.said()
    if as_json:
        members = said_members(said)
        click.echo(json.dumps({name: members[name] for name in ("feedback", "results", "actions")}))
    else:
        click.echo(f"feedback   {said.feedback}")
        print_table(("result", "count"), [(name, str(count)) for name, count in said.results.items()])
        print_table(("action", "count"), [(name, str(count)) for name, count in said.actions.items()])
    _warn_cut(found)


READING = (due, thread, feedback)


def print_duties_as_json(duties: tuple[Duty, ...]) -> None:
    """Print duties for scripts, one object a line."""
    for duty in duties:
        members = {name.removeprefix("is_"): value for name, value in asdict(duty).items()}
        click.echo(json.dumps(members, ensure_ascii=False))


def said_members(said: Said) -> dict[str, Any]:
    """Return what was said as members for scripts."""
    return asdict(said)


def print_said(said: Said) -> None:
    """Print what was said of a bulletin, one line for each sort; nothing where nothing was said."""
    lines = (
        ("endorsed by", ", ".join(said.endorsed_by)),
        ("answers", ", ".join(map(_answer_text, said.answers))),
        *(("consent", _consent_text(each)) for each in said.consents),
        ("comments", str(said.comments or "")),
        ("feedback", ", ".join(f"{name} {count}" for name, count in said.results.items())),
        ("actions", ", ".join(f"{name} {count}" for name, count in said.actions.items())),
    )
    for word, text in lines:
        if text:
            click.echo(f"{word:<11} {safe(text)}")


def _answer_text(each: Answer) -> str:
    return f"{each.by} {each.result or 'sealed'}" + (f" ({each.reason})" if each.reason else "")


def _consent_text(each: Consent) -> str:
    what = each.permission or "what was asked"
    whom = f" to {', '.join(each.pass_to)}" if each.pass_to else ""
    return f"{each.result or 'sealed'} by {each.by} for {each.to or 'an agency unknown'}: {what}{whom} ({each.id})"


def _duty_row(duty: Duty) -> tuple[str, ...]:
    who = duty.agency if duty.list.startswith("waiting") else duty.issuer
    when = "withheld" if duty.state == "withheld" else (duty.due or "not sent yet")
    return "OVERDUE" if duty.is_overdue else "", when, OWED[duty.list], who, duty.kind, duty.urgency, duty.id


def _warn_cut(found: Thread) -> None:
    if found.is_cut:
        click.echo("the thread is longer than a hub shows; only the nearest bulletins are here", err=True)
