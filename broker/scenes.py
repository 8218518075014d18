"""The scenes of the demonstration in which agencies work together.

A bulletin is delivered and its readers are seen, it is recalled, a request is answered, RED stays sealed, person data
needs a purpose. Each scene acts through the agencies' own clients over HTTP and notes what it expects as checks.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from broker import exercise as exercises
from broker.stage import Agencies, Tally, refusal
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import NotFound, PurposeNeeded, Recalled
from lintas.feed import Received
from lintas.problems import from_problem
from lintas.reply import reply_draft, title_of
from lintas.said import Answer
from lintas.strict import parse_object

ORIGINATOR = "my-police"
HOLDERS = ("id-police", "sg-police", "th-police")
SUBSCRIBER = "sg-police"
ABSENT, NARROW = "tl-customs", "bn-cert"
"""One that does not look at its feed meanwhile, one whose ceiling was lowered to AMBER before."""

SUBSCRIPTION = "scam-alerts"
CASE = "MY-SIM-26-77"
PHONE = "+60123456789"

ALERT: dict[str, Any] = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER+STRICT",
    "urgency": "urgent",
    "release_to": [*HOLDERS, ABSENT, NARROW],
    "valid_for": "P30D",
}


def show_exchange(agencies: Agencies, files: Iterable[Path], tally: Tally) -> None:
    """Play every scene; `files` are where the hub keeps its database."""
    tally.chapter = "Working together"
    alert, clear_marker = _deliver(agencies, tally)
    _recall(agencies, alert, tally)
    _request(agencies, tally)
    tally.chapter = "What is protected"
    _seal(agencies, files, clear_marker, tally)
    _protect_persons(agencies, tally)


def _deliver(agencies: Agencies, tally: Tally) -> tuple[Received, str]:
    """Deliver one alert by feed and by subscription; return it with a marker that stands in its text."""
    marker, originator = secrets.token_hex(12), agencies.client(ORIGINATOR)
    subscriber = agencies.client(SUBSCRIBER)
    subscriber.subscribe(SUBSCRIPTION, {"kind": ["alert"], "topic": ["cyber"]})
    alert = _publish(originator, ALERT, f"Fictional: loan application asks for contacts ({marker})")
    advisory = {"kind": "advisory", "release_to": [SUBSCRIBER]}
    _publish(originator, ALERT | advisory, "Fictional: advice on loan applications")
    first, again = subscriber.pull(SUBSCRIPTION), subscriber.pull(SUBSCRIPTION)
    subscriber.confirm(again)
    kept = {each.name: each.cursor for each in subscriber.subscriptions()}[SUBSCRIPTION]
    once = [[item.id for item in pulled.items] for pulled in (first, again, subscriber.pull(SUBSCRIPTION))]
    held = once == [[alert.id], [alert.id], []] and kept >= alert.seq
    tally.check(f"subscription `{SUBSCRIPTION}` repeats what it brings until its cursor is acknowledged", held=held)
    for agency in HOLDERS:
        _take(agencies.client(agency), [alert.id])
    for agency in (SUBSCRIBER, "id-police"):
        agencies.client(agency).opened(agencies.client(agency).fetch(alert.id).id)
    subscriber.acknowledge(alert.id)
    tally.readers = originator.readers(alert.id)
    _check_readers(agencies, alert, tally)
    return alert, marker


def _check_readers(agencies: Agencies, alert: Received, tally: Tally) -> None:
    expected = {
        "id-police": "opened",
        "sg-police": "acknowledged",
        "th-police": "received",
        ABSENT: "released",
        NARROW: "not-entitled",
    }
    seen = {each.agency: each.progress for each in tally.readers}
    tally.check(
        "its originator sees how far it got with each recipient, proven by their signatures", held=seen == expected
    )
    others = {_readers_of(agencies.client(agency), alert.id) for agency in HOLDERS}
    tally.check("nobody else sees who reads it", held=others == {NotFound.code})


def _recall(agencies: Agencies, alert: Received, tally: Tally) -> None:
    """Recall the alert; the subscriber gets it through a subscription whose filter asks for alerts alone."""
    originator, subscriber = agencies.client(ORIGINATOR), agencies.client(SUBSCRIBER)
    content = {"title": title_of(alert, "Recall"), "summary": "FICTIONAL. Undo it.", "reason": "false-positive"}
    recall = _reply(originator, alert, "recall", content, to=alert.header.release_to)
    pulled = subscriber.pull(SUBSCRIPTION)
    subscriber.confirm(pulled)
    held = [each.id for each in pulled.items] == [recall.id]
    tally.check("a recall comes through every filter", held=held)
    got = {agency: _take(agencies.client(agency), [recall.id]) for agency in HOLDERS}
    owed = [_duties(agencies.client(agency), recall.id) for agency in HOLDERS]
    for agency in HOLDERS:
        agencies.client(agency).acknowledge(recall.id)
    seen = {each.agency: each.progress for each in originator.readers(recall.id)}
    held = all(got.values()) and {agency: seen[agency] for agency in HOLDERS} == dict.fromkeys(HOLDERS, "acknowledged")
    tally.check("it reached all holders, who each acknowledged it with their signature", held=held)
    left = [_duties(agencies.client(agency), recall.id) for agency in HOLDERS]
    held = (owed, left) == ([["to_acknowledge"]] * len(HOLDERS), [[]] * len(HOLDERS))
    tally.check("until then it was due, and now nothing is", held=held)
    answers = {_read(agencies, agency, alert.id) for agency in HOLDERS}
    tally.check("what was withdrawn is given to nobody (410 recalled)", held=answers == {(410, Recalled.code)})


def _request(agencies: Agencies, tally: Tally) -> None:
    """Ask two agencies, of which one has something."""
    asker, asked = agencies.client(ORIGINATOR), {"sg-police": "positive", "th-police": "negative"}
    words = {"purpose": {"code": "investigation", "statement": "FICTIONAL. A freezing order is prepared."}}
    members = ALERT | {"kind": "rfi", "tlp": "AMBER", "release_to": [*asked]}
    request = _publish(asker, members, "Fictional: who holds this account?", questions=["Who?"], **words)
    for agency in asked:
        agencies.client(agency).fetch(request.id)
    open_duties = [each for each in asker.due() if each.id == request.id]
    held = {each.agency for each in open_duties if each.due} == {*asked}
    tally.check("a request gives each agency its time to answer, counted from when it got it", held=held)
    owed = [_duties(agencies.client(agency), request.id) for agency in asked]
    for agency, result in asked.items():
        content = {"title": title_of(request, result), "summary": "FICTIONAL.", "result": result}
        client = agencies.client(agency)
        _reply(client, client.fetch(request.id), "answer", content, to=[ORIGINATOR])
    answers = {_words(each) for each in asker.thread(request.id).said().answers}
    tally.check("its answers are signed and verified, `nothing held` is one of them", held=answers == {*asked.items()})
    left = [_duties(agencies.client(agency), request.id) for agency in asked]
    waiting = [each for each in asker.due() if each.id == request.id and each.state == "open"]
    held = (owed, left, waiting) == ([["to_answer"]] * 2, [[], []], [])
    tally.check("with them it is due no more, on either side", held=held)


def _seal(agencies: Agencies, files: Iterable[Path], clear: str, tally: Tally) -> None:
    """Publish a RED bulletin with a marker, let everyone try to read it, search the hub's files for the marker."""
    marker, to = secrets.token_hex(12), ("id-police", "sg-police")
    inside = {"named_recipients": [f"{agency}/duty-officer" for agency in to], "marking_reason": "FICTIONAL. A source."}
    members = ALERT | {"tlp": "RED", "release_to": [*to]}
    red = _publish(agencies.client(ORIGINATOR), members, f"Fictional: a source is in danger ({marker})", **inside)
    partners = sorted(agencies.client(ORIGINATOR).directory.partners.keys() - {ORIGINATOR})
    readers = [agency for agency in partners if _reads(agencies.client(agency), red.id, marker)]
    tally.check(f"RED is opened by its recipients alone, of {len(partners)} agencies that tried", held=readers == [*to])
    kept = b"".join(file.read_bytes() for file in files)
    found = [_holds(kept, each) for each in (clear, marker)]
    tally.check(
        "the hub's database holds the text of a clear bulletin, nothing of a sealed one", held=found == [True, False]
    )


def _protect_persons(agencies: Agencies, tally: Tally) -> None:
    """Publish person data; open it without a reason, then with one."""
    client = agencies.client(SUBSCRIBER)
    phone = {"type": "phone", "value": PHONE, "role": "caller"}
    members = ALERT | {"tlp": "AMBER", "release_to": [SUBSCRIBER]}
    persons = _publish(agencies.client(ORIGINATOR), members, "Fictional: a caller", indicators=[phone])
    without = refusal(lambda: client.fetch(persons.id))
    whole = client.with_purpose("investigation", CASE, officer="desk/duty").fetch(persons.id)
    shown = whole.content is not None and PHONE in json.dumps(whole.content.indicators, default=str)
    held = without == PurposeNeeded.code and shown
    tally.check(f"person data is opened for a purpose and a case only ({PurposeNeeded.code})", held=held)
    events = agencies.client(exercises.SECOND_ADMIN).admin_events(object=persons.id, kind="bulletin.sent")["events"]
    reasons = [(each["detail"].get("purpose"), each["detail"].get("case_ref")) for each in events]
    tally.check("purpose, case and post stand in the log for the auditor", held=("investigation", CASE) in reasons)


def _publish(client: Client, members: Mapping[str, Any], title: str, **content: Any) -> Received:
    """Publish a draft whose payload has this title; return it as its issuer may read it."""
    payload = {"title": title, "summary": "FICTIONAL.", "case_ref": CASE} | content
    return _own(client, {**members, "payload": payload})


def _reply(client: Client, item: Received, kind: str, content: Mapping[str, Any], *, to: Sequence[str]) -> Received:
    return _own(client, reply_draft(item, kind, content, to=to, now=client.session.now()))


def _own(client: Client, members: Mapping[str, Any]) -> Received:
    line = client.sign(read_draft(members))
    published = client.publish_line(line)
    return client.verify_line(line.raw, seq=published.seq)


def _take(client: Client, ids: Sequence[str]) -> bool:
    """Take over everything new in the feed; tell whether these came, verified."""
    found = {item.id for item in client.follow(once=True) if item.line is not None}
    return found >= {*ids}


def _readers_of(client: Client, line_id: str) -> str:
    return refusal(lambda: client.readers(line_id))


def _duties(client: Client, line_id: str) -> list[str]:
    return [each.list for each in client.due() if each.id == line_id and each.state == "open"]


def _words(each: Answer) -> tuple[str, str | None]:
    return each.by, each.result


def _reads(client: Client, line_id: str, marker: str) -> bool:
    """Tell whether this party, with a reason to, can open a bulletin and finds the marker in it."""
    try:
        found = client.with_purpose("investigation", CASE).fetch(line_id)
    except NotFound:
        return False
    return found.content is not None and marker in found.content.title


def _read(agencies: Agencies, agency: str, line_id: str) -> tuple[int, str]:
    """Read a bulletin with bare HTTP; return the status with the code of the problem."""
    authorization = {"Authorization": f"Bearer {agencies.client(agency).token()}"}
    answer = agencies.http.get(f"/v1/bulletins/{line_id}", headers=authorization)
    if answer.is_success:
        return answer.status_code, ""
    return answer.status_code, from_problem(parse_object(answer.content, floats=True), answer.status_code).code


def _holds(data: bytes, marker: str) -> bool:
    """Tell whether a marker stands in these bytes, as it is or within base64 at any offset, as lines hold it."""
    spelt = [marker.encode()]
    for skip in range(3):
        # The first and last characters of base64 depend on what stands beside.
        text = base64.urlsafe_b64encode(bytes(skip) + marker.encode())
        spelt.append(text[-(-skip * 8 // 6) : (skip + len(marker)) * 8 // 6])
    return any(each in data for each in spelt)
