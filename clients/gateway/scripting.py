"""HTTP for scripts in any language: drafts in, verified bulletins out, as JSON.

Spec: docs/spec/gateway.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from clients.gateway.bulletins import Bulletins, Kept
from clients.gateway.intake import Intake
from clients.gateway.postings import DISCARDED, REFUSED, DraftRow, Posting
from clients.gateway.sender import Sender
from clients.gateway.server import Asked
from clients.show import moment, received_members
from lintas.errors import STATUS, BadRequest, InternalError, LintasError, MethodNotAllowed, NotFound, Refusal
from lintas.event import US_PER_S
from lintas.header import ID_PATTERN
from lintas.imported import read_members
from lintas.strict import canonical
from lintas.taxii import Answer

LIMIT, LIMIT_MAX = 100, 500
WAIT_S_MAX = 60
LOOK_S = 0.1
"""Pause between two looks of a request that waits."""

POSTINGS = 100
T = TypeVar("T")
_PREFER = re.compile(r"wait=([0-9]{1,4})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)


class Scripting:
    """Answers what begins with ``/v1/``."""

    def __init__(
        self, bulletins: Bulletins, intake: Intake, sender: Sender, status: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Answer from these; `status` says how the gateway is."""
        self._bulletins = bulletins
        self._intake = intake
        self._sender = sender
        self._status = status
        self._routes = tuple(
            (method, re.compile(pattern), handler)
            for method, pattern, handler in (
                ("GET", r"/v1/status", self._get_status),
                ("GET", r"/v1/bulletins", self._list_bulletins),
                ("GET", rf"/v1/bulletins/({ID_PATTERN})", self._get_bulletin),
                ("POST", rf"/v1/bulletins/({ID_PATTERN})/ack", self._acknowledge),
                ("GET", r"/v1/postings", self._list_postings),
                ("POST", r"/v1/postings", self._post),
                ("GET", r"/v1/postings/([0-9]{1,15})", self._get_posting),
            )
        )

    def answer(self, asked: Asked) -> Answer:
        """Answer a request; raise a Refusal."""
        matches = [
            (method, found, handler)
            for method, pattern, handler in self._routes
            if (found := pattern.fullmatch(asked.path))
        ]
        if not matches:
            raise NotFound
        method = "GET" if asked.method == "HEAD" else asked.method
        for allowed, found, handler in matches:
            if allowed == method:
                return handler(asked, *found.groups())
        raise MethodNotAllowed(f"Here is {', '.join(allowed for allowed, _, _ in matches)}.")

    def _get_status(self, asked: Asked) -> Answer:
        _params(asked)
        return _json(self._status())

    def _list_bulletins(self, asked: Asked) -> Answer:
        params = _params(asked, "after", "limit")
        after, limit = _number(params, "after", 0), _number(params, "limit", LIMIT)
        if not 1 <= limit <= LIMIT_MAX:
            raise BadRequest(f"`limit` is 1 to {LIMIT_MAX}.", member="limit")
        found = _wait(asked, lambda: self._bulletins.changed_after(after, limit), bool)
        rows = [self._members(each) for each in found]
        return _json({"bulletins": rows, "next": found[-1].changed if found else after, "more": len(found) == limit})

    def _get_bulletin(self, asked: Asked, bulletin_id: str) -> Answer:
        _params(asked)
        return _json(self._members(self._kept(bulletin_id)))

    def _acknowledge(self, asked: Asked, bulletin_id: str) -> Answer:
        _params(asked)
        self._kept(bulletin_id)
        self._sender.note(bulletin_id)
        state, problem = _wait(
            asked, lambda: self._sender.noted(bulletin_id) or ("", None), lambda found: found[0] != "asked"
        )
        return _json({"id": bulletin_id, "acknowledged": state, "problem": problem}, 202 if state == "asked" else 200)

    def _list_postings(self, asked: Asked) -> Answer:
        _params(asked)
        return _json({"postings": [posting_members(each) for each in self._intake.postings.newest(POSTINGS)]})

    def _get_posting(self, asked: Asked, number: str) -> Answer:
        _params(asked)
        return self._told(asked, int(number))

    def _post(self, asked: Asked) -> Answer:
        _params(asked)
        posting = self._intake.take(read_members(asked.body), channel="http")
        return self._told(asked, posting.number)

    def _told(self, asked: Asked, number: int) -> Answer:
        posting = _wait(asked, lambda: self._intake.postings.get(number), lambda found: found is None or found.is_over)
        if posting is None:
            raise NotFound
        status = {REFUSED: 422, DISCARDED: 422}.get(posting.state, 200 if posting.is_over else 202)
        return _json(posting_members(posting), status, Location=f"/v1/postings/{number}")

    def _kept(self, bulletin_id: str) -> Kept:
        kept = self._bulletins.get(bulletin_id)
        if kept is None:
            raise NotFound
        return kept

    def _members(self, kept: Kept) -> dict[str, Any]:
        members = received_members(kept.received(), with_person_data=kept.unserved is None)
        members.pop("purpose_needed", None)
        members.pop("unopened", None)
        noted = self._sender.noted(kept.id)
        return members | {
            "number": kept.changed,
            "received": moment(kept.at_us // US_PER_S),
            "withheld": kept.unserved,
            "acknowledged": None if noted is None else noted[0],
        }


def posting_members(posting: Posting) -> dict[str, Any]:
    """Return what became of a posting as JSON."""
    return {
        "posting": posting.number,
        "state": posting.state,
        "by": posting.channel,
        "name": posting.name,
        "at": moment(posting.at_us // US_PER_S),
        "problem": posting.problem,
        "bulletins": [_draft_members(each) for each in posting.drafts],
        "not_carried_over": [{"where": each.where, "why": each.why} for each in posting.omitted],
    }


def refused(fault: LintasError) -> Answer:
    """Answer with a problem (RFC 9457); one that is no Refusal without its text."""
    error = fault if isinstance(fault, Refusal) else InternalError()
    status = STATUS.get(type(error), 500)
    further = {"WWW-Authenticate": 'Basic realm="lintas gateway"'} if status == 401 else {}  # noqa: PLR2004 - the code
    return _json(error.problem() | {"status": status}, status, media="application/problem+json", **further)


def _draft_members(row: DraftRow) -> dict[str, Any]:
    return {"draft": row.number, "state": row.state, "id": row.line, "index": row.seq, "problem": row.problem}


def _wait(asked: Asked, look: Callable[[], T], is_enough: Callable[[T], bool]) -> T:
    """Look until it is enough, or as long as the caller prefers (RFC 7240)."""
    parts = (_PREFER.fullmatch(part.strip()) for part in asked.headers.get("prefer", "").split(","))
    wait_s = next((min(int(part[1]), WAIT_S_MAX) for part in parts if part is not None), 0)
    end = time.monotonic() + wait_s
    while True:
        seen = look()
        if is_enough(seen) or time.monotonic() >= end:
            return seen
        time.sleep(LOOK_S)


def _params(asked: Asked, *known: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(asked.query, keep_blank_values=True, strict_parsing=bool(asked.query), max_num_fields=8)
    except ValueError as fault:
        raise BadRequest("The address has parameters that cannot be read.") from fault
    for name, _ in pairs:
        if name not in known or sum(each == name for each, _ in pairs) > 1:
            raise BadRequest("This parameter is unknown here, or given twice.", member=name[:64])
    return dict(pairs)


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise BadRequest(f"`{name}` is a whole number.", member=name)
    return int(text)


def _json(members: Mapping[str, Any], status: int = 200, media: str = "application/json", **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": media, "Cache-Control": "no-store", **given}, canonical(members))
