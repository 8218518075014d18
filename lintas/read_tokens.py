"""The operations of a client on the read tokens of its agency.

The secret is made here and never sent: the order holds its SHA-256. Which tokens there are is read from the proven log
alone, so a hub cannot show one less than it honours.
Spec: docs/spec/read-tokens.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from lintas.errors import BadRequest
from lintas.header import ORDER
from lintas.keys import fresh_read_token
from lintas.line import parse
from lintas.orders import open_order
from lintas.read_token import CEILINGS, EVERY_AREA, ReadToken, canonical_addresses, digest_of, is_token_id, write_token
from lintas.request import Operation
from lintas.session import Session
from lintas.wire import Answer, catch_up, post_order

FOR_S_DEFAULT = 90 * 86_400


class Bounds(TypedDict, total=False):
    """What a read token may read, from where, for how long; by default all that its agency may, for 90 days."""

    ceiling: str
    areas: Iterable[str]
    for_s: int
    addresses: Iterable[str]


@dataclass(frozen=True, slots=True)
class NewToken:
    """A read token that was just made. `text` is the token itself: it is nowhere else, and `repr` does not show it."""

    id: str
    until: int
    answer: Answer
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A read token of ours as its order made it, `label` from the order itself. `is_over`: its time is up."""

    token: ReadToken
    label: str
    is_over: bool


def issue(session: Session, label: str, **bounds: Unpack[Bounds]) -> Operation[NewToken]:
    """Order a read token with a secret made here."""
    token_id, secret = fresh_read_token()
    until = session.now() + bounds.get("for_s", FOR_S_DEFAULT)
    arguments = {
        "token": token_id,
        "digest": digest_of(secret),
        "ceiling": bounds.get("ceiling", CEILINGS[-1]),
        "areas": sorted(set(bounds.get("areas", EVERY_AREA))),
        "until": until,
        "addresses": canonical_addresses(bounds.get("addresses", ())),
        "label": label,
    }
    line = session.sign_order("read-token", arguments)
    # What the hub would refuse is refused before it leaves.
    open_order(line)
    answer = yield from post_order(session, line)
    return NewToken(token_id, until, answer, write_token(token_id, secret))


def end(session: Session, token_id: str) -> Operation[Answer]:
    """End a read token of ours at once."""
    if not is_token_id(token_id):
        raise BadRequest("A read token is ended by its id, the twelve characters behind `lts_`.", member="token")
    return (yield from post_order(session, session.sign_order("read-token-end", {"token": token_id})))


def read_tokens(session: Session) -> Operation[tuple[OwnToken, ...]]:
    """Return our read tokens that were not ended, oldest first, as the proven log has them."""
    yield from catch_up(session)
    labels = _labels(session)
    return tuple(
        OwnToken(each, labels[each.id, each.digest], session.now() >= each.until)
        for each in session.directory.read_tokens.values()
    )


def _labels(session: Session) -> dict[tuple[str, str], str]:
    lines = (parse(row.line, None) for row in session.state.control() if row.line is not None)
    orders = (open_order(line) for line in lines if line.header.typ == ORDER and line.header.iss == session.party)
    return {
        (order.args["token"], order.args["digest"]): order.args["label"]
        for order in orders
        if order.act == "read-token"
    }
