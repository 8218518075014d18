"""The commands that ask, answer, comment, consent, recall: each makes a draft from what it is about, then signs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from clients.acting import acting
from clients.arguments import IdCommand
from clients.show import confirm, show_recipients
from lintas import bulletin, vocabulary
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import NoLongerValid, RefUnavailable, Superseded
from lintas.exchange import ACTIONS, CONSENT_REQUEST
from lintas.feed import Received
from lintas.header import BULLETIN, is_id
from lintas.line import parse
from lintas.reply import circle, reply_draft, title_of
from lintas.state import Outgoing

WITHDRAWN = "withdrawn"
"""The role of an indicator that a recall names."""


def _choice(field: str) -> click.Choice[str]:
    return click.Choice(sorted(getattr(vocabulary.load(), field)))


def _indicators(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> list[dict[str, str]]:
    found = []
    for text in given:
        kind, colon, value = text.partition(":")
        if not colon:
            raise click.BadParameter(f"{text!r} is not TYPE:VALUE.")
        found.append({"type": kind, "value": value, "role": WITHDRAWN})
    return found


def _counts(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> dict[str, int]:
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in ACTIONS or name in found or not number.isascii() or not number.isdigit():
            raise click.BadParameter(f"{text!r} is not one of {', '.join(ACTIONS)}, once, with a number.")
        found[name] = int(number)
    return found


def _signing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command here has."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask before signing."),
        click.option("--tlp", type=click.Choice(vocabulary.TLP), help="The marking; never wider than the original's."),
        click.option("--post", "posts", multiple=True, metavar="AGENCY/POST", help="For RED: who may read it; repeat."),
    ):
        command = option(command)
    return command


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--reason", required=True, type=_choice("recall_reasons"), help="Why it is withdrawn.")
@click.option(
    "--indicator",
    "indicators",
    multiple=True,
    callback=_indicators,
    metavar="TYPE:VALUE",
    help="Withdraw only this; repeat.",
)
@click.option("--summary", help="What recipients should undo or know.")
@_signing
def recall(line_id: str, reason: str, indicators: list[dict[str, str]], summary: str | None, **options: Any) -> None:
    """Withdraw a bulletin of yours, whole or some of its indicators, from everyone who has it.

    \b
    Example: lintas recall ID --reason inaccurate --indicator domain:lotus-loan.example
    """
    with acting() as client:
        item = _own(client, line_id)
        content: dict[str, Any] = {
            "title": title_of(item, "Recall"),
            "summary": summary or vocabulary.load().title("recall_reasons", reason),
            "reason": reason,
        }
        if indicators:
            content["indicators"] = indicators
        _publish(client, item, "recall", content, to=item.header.release_to, options=options)


@click.command()
@click.option("--to", required=True, multiple=True, help="An agency or community to ask; repeat.")
@click.option("--topic", required=True, type=_choice("topics"), metavar="TOPIC", help="What it is about.")
@click.option("--question", "questions", required=True, multiple=True, help="A question; repeat.")
@click.option("--title", required=True, help="One line.")
@click.option("--summary", help="What recipients must know to answer.")
@click.option("--purpose", required=True, type=_choice("purposes"), help="What it is needed for.")
@click.option("--case-ref", required=True, help="The reference of your case.")
@click.option("--statement", help="Why, in words.")
@click.option("--urgency", default="routine", show_default=True, type=_choice("urgencies"), help="How soon it matters.")
@click.option("--due", help="RFC 3339 time by which you need the answer, in place of the usual one.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 1_000), help="How long it stands.")
@click.option("--about", metavar="ID", help="A bulletin that the request is about, which all recipients have.")
@_signing
def ask(to: tuple[str, ...], questions: tuple[str, ...], **options: Any) -> None:
    """Ask agencies for information, with purpose and case; each has a time to answer from when it gets the request.

    \b
    Example: lintas ask --to sg-fiu --topic cyber.scam --title "Account holder" --question "Who holds it?" \\
        --purpose investigation --case-ref MY-26-311
    """
    content = _purpose(options) | {"title": options["title"], "questions": list(questions)}
    content["summary"] = options["summary"] or content["purpose"]["statement"]
    if options["due"]:
        content["answer_due"] = options["due"]
    members: dict[str, Any] = {
        "kind": "rfi",
        "topic": options["topic"],
        "tlp": options["tlp"] or "AMBER",
        "urgency": options["urgency"],
        "release_to": list(to),
        "valid_for": f"P{options['days']}D",
        "payload": content | _named(options["posts"]),
    }
    if options["about"]:
        members["refs"] = [f"comments:{options['about']}"]
    with acting() as client:
        sign_and_send(client, members, yes=options["yes"])


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--result", required=True, type=_choice("answer_results"), help="What you found.")
@click.option("--reason", type=_choice("refusal_grounds"), help="The ground of a refusal.")
@click.option("--summary", help="The answer in words.")
@click.option("--to", "others", multiple=True, help="Also to this agency that was asked; repeat.")
@_signing
def answer(
    line_id: str, result: str, reason: str | None, summary: str | None, others: tuple[str, ...], **options: Any
) -> None:
    """Answer a request for information. "Nothing held" (negative) is a result too.

    It goes to whoever asked, and to those of the others asked whom you name.

    \b
    Example: lintas answer ID --result negative
    """
    with acting() as client:
        item = client.fetch(line_id)
        content = {
            "title": title_of(item, f"Answer ({result})"),
            "summary": summary or vocabulary.load().title("answer_results", result),
            "result": result,
        } | ({"reason": reason} if reason else {})
        _publish(client, item, "answer", content, to=[item.header.iss, *others], options=options)


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.argument("text")
@click.option("--to", "only", multiple=True, help="Only to this agency that has the bulletin; repeat.")
@_signing
def comment(line_id: str, text: str, only: tuple[str, ...], **options: Any) -> None:
    """Say something about a bulletin to those who have it.

    \b
    Example: lintas comment ID "Seen here too, same registrar."
    """
    line_id, text = in_order(line_id, text)
    with acting() as client:
        item = client.fetch(line_id)
        content = {"title": title_of(item, "Comment"), "summary": text}
        _publish(client, item, "comment", content, to=only or circle(item.header, client.party), options=options)


@click.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--summary", help="What you know of it yourselves.")
@_signing
def endorse(line_id: str, summary: str | None, **options: Any) -> None:
    """Put your agency's signature beside another's: a joint bulletin.

    \b
    Example: lintas endorse ID
    """
    with acting() as client:
        item = client.fetch(line_id)
        content = {
            "title": title_of(item, "Endorsed"),
            "summary": summary or f"{client.party} stands behind this bulletin of {item.header.iss}.",
        }
        _publish(client, item, "endorsement", content, to=circle(item.header, client.party), options=options)


@click.command("give-feedback", cls=IdCommand)
@click.argument("line_id")
@click.option("--result", required=True, type=_choice("feedback"), help="What the bulletin was worth to you.")
@click.option(
    "--count",
    "counts",
    multiple=True,
    callback=_counts,
    metavar="WHAT=N",
    help=f"For actioned: {', '.join(ACTIONS)}; repeat.",
)
@click.option("--reference", "references", multiple=True, help="For duplicate: what was known already; repeat.")
@click.option("--summary", help="In words.")
@click.option("--all", "to_all", is_flag=True, help="To everyone who has the bulletin, not its originator alone.")
@_signing
def give_feedback(
    line_id: str, result: str, counts: dict[str, int], references: tuple[str, ...], **options: Any
) -> None:
    """Tell the originator what a bulletin was worth: a hit, useful, actioned, stale, wrong.

    \b
    Example: lintas give-feedback ID --result actioned --count arrests=2 --count freezes=1
    """
    summary, to_all = options.pop("summary"), options.pop("to_all")
    with acting() as client:
        item = client.fetch(line_id)
        content: dict[str, Any] = {
            "title": title_of(item, f"Feedback ({result})"),
            "summary": summary or vocabulary.load().title("feedback", result),
            "result": result,
        }
        if counts:
            content["counts"] = counts
        if references:
            content["references"] = list(references)
        to = circle(item.header, client.party) if to_all else [item.header.iss]
        _publish(client, item, "feedback", content, to=to, options=options)


@click.command("ask-consent", cls=IdCommand)
@click.argument("line_id")
@click.option("--permission", required=True, type=_choice("consent_permissions"), help="What you ask to be allowed.")
@click.option("--pass-to", multiple=True, help="An agency, or a court or other body in words; repeat.")
@click.option("--purpose", required=True, type=_choice("purposes"), help="What it is needed for.")
@click.option("--case-ref", required=True, help="The reference of your case.")
@click.option("--statement", help="Why, in words.")
@_signing
def ask_consent(line_id: str, permission: str, pass_to: tuple[str, ...], **options: Any) -> None:
    """Ask the originator whether you may pass a bulletin on or use it as evidence.

    \b
    Example: lintas ask-consent ID --permission pass-on --pass-to th-cert --purpose investigation --case-ref SG-26-7
    """
    reason = _purpose(options)
    with acting() as client:
        item = client.fetch(line_id)
        content = reason | {
            "title": title_of(item, f"May we: {permission}"),
            "summary": reason["purpose"]["statement"],
            "permission": permission,
        }
        if pass_to:
            content["pass_to"] = list(pass_to)
        _publish(client, item, CONSENT_REQUEST, content, to=[item.header.iss], options=options)


@click.command(cls=IdCommand)
@click.argument("request_id")
@click.option("--result", required=True, type=_choice("consent_results"), help="Whether you permit it.")
@click.option("--reason", type=_choice("refusal_grounds"), help="The ground of a refusal.")
@click.option("--summary", help="Conditions, or why not.")
@click.option("--to", "others", multiple=True, help="Also to this agency that has the bulletin; repeat.")
@_signing
def consent(
    request_id: str, result: str, reason: str | None, summary: str | None, others: tuple[str, ...], **options: Any
) -> None:
    """Answer a request for consent about a bulletin of yours. It is logged and shown; it opens nothing by itself.

    \b
    Example: lintas consent REQUEST --result granted
    """
    with acting() as client:
        item = client.fetch(request_id)
        if item.header.kind != CONSENT_REQUEST or item.content is None:
            raise RefUnavailable("This is no request for consent that you can read.")
        asked = item.content
        content: dict[str, Any] = {
            "title": title_of(item, f"Consent {result}"),
            "summary": summary or vocabulary.load().title("consent_results", result),
            "result": result,
            "requester": item.header.iss,
            "permission": asked.permission,
            "case_ref": asked.case_ref,
        }
        if asked.pass_to:
            content["pass_to"] = list(asked.pass_to)
        if reason:
            content["reason"] = reason
        _publish(client, item, "consent-answer", content, to=[item.header.iss, *others], options=options)


SIGNING: tuple[click.Command, ...] = (recall, ask, answer, comment, endorse, give_feedback, ask_consent, consent)


def _publish(
    client: Client,
    item: Received,
    kind: str,
    content: Mapping[str, Any],
    *,
    to: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    members = reply_draft(
        item,
        kind,
        {**content, **_named(options["posts"])},
        to=sorted({*to} - {client.party}),
        now=client.session.now(),
        tlp=options["tlp"],
    )
    sign_and_send(client, members, yes=options["yes"])


def _named(posts: Sequence[str]) -> dict[str, list[str]]:
    return {"named_recipients": list(posts)} if posts else {}


def sign_and_send(client: Client, members: Mapping[str, Any], *, yes: bool) -> None:
    """Sign a draft, show who will receive it, ask, send it."""
    client.sync()
    line = client.sign(read_draft(members))
    show_recipients(line.header, "signed")
    if not yes:
        confirm("Publish it?")
    published = client.publish_line(line)
    click.echo(f"{published.id}  index {published.seq}")


def in_order(line_id: str, text: str) -> tuple[str, str]:
    """Return id and text as they were meant: an id that begins with a hyphen was moved behind the other arguments."""
    return (text, line_id) if is_id(text) and not is_id(line_id) else (line_id, text)


def _own(client: Client, line_id: str) -> Received:
    try:
        item = client.fetch(line_id)
    except (Superseded, NoLongerValid):
        # What was replaced or ran out is still out there with those who have it; our own copy says to whom it went.
        kept = client.session.state.sent(line_id)
        if kept is None:
            raise
        item = _kept(kept)
    if item.header.iss != client.party:
        raise RefUnavailable("Only its originator recalls a bulletin.")
    return item


def _kept(kept: Outgoing) -> Received:
    line = parse(kept.line, BULLETIN)
    content = None if line.header.enc else bulletin.parse(line.payload, kind=line.header.kind or "")
    return Received(seq=kept.seq or 0, id=line.id, line=line, content=content)


def _purpose(options: dict[str, Any]) -> dict[str, Any]:
    code, case_ref, statement = options.pop("purpose"), options.pop("case_ref"), options.pop("statement")
    words = statement or f"{code.capitalize()}, case {case_ref}."
    return {"purpose": {"code": code, "statement": words}, "case_ref": case_ref}
