"""The way of key lines or orders into the log: enrol, rotate, revoke, invite, approve, grant, suspend.

What they do is decided by ``lintas.decide``, the same code with which clients check the result. Only the comparison
with an invitation's secret happens here, because only the hub holds it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from broker import matching, webhook_orders, widening
from broker.batch import Batch
from broker.intake import check_former, record_refusal
from broker.reach import Allowed
from broker.store import invites
from lintas.decide import INVITE_S, changes, check_signatures
from lintas.directory import Change, Directory
from lintas.errors import BadInvite, OrderConflict, Refusal
from lintas.header import KEY, ORDER
from lintas.line import Line, parse
from lintas.note import VerifierKey, parse_vkey
from lintas.orders import Enrol, check_indicators, open_key_line, open_order
from lintas.strict import unb64u

CODE_BYTES = 16
"""An invitation's code has 128 bits: guessing is hopeless, and five tries are allowed."""

TRIES_MAX = 5


@dataclass(frozen=True, slots=True)
class Ordered:
    """What became of a key line or an order. `extra` holds what the answer alone may carry (an invitation's code)."""

    id: str
    seq: int
    is_new: bool
    kinds: tuple[str, ...] = ()
    needs_second: bool = False
    extra: Mapping[str, str | int] = field(default_factory=dict)


Effect = Callable[[Batch, Line, int], None]

EFFECTS: Mapping[str, Effect] = {**matching.EFFECTS, "webhook.changed": webhook_orders.change}
"""What an order does to rows that are not in the log, by the kind of its first event; `seq` is that event's index."""


DEFERRED = frozenset({"interest.registered"})
"""Changes whose results come later: the answer says that they were taken, whatever the results will be."""


def open_control(raw: bytes, typ: str, directory: Directory) -> Line:
    """Read and verify a posted key line or order; raise a Refusal that any stranger may cause."""
    line = parse(raw, typ)
    check_signatures(directory, line)
    if typ == ORDER:
        check_indicators(open_order(line))
    return line


def admit_control(
    batch: Batch,
    line: Line,
    source: str,
    allow: Sequence[Allowed] = (),
    *,
    holds: Callable[[VerifierKey], bool] = lambda _key: False,
) -> Ordered | Refusal:
    """Carry out a key line or order, or record its refusal and return it.

    `source` is the sender's address, `allow` are the operator's exceptions for webhooks; `holds` tells whether the hub
    has the private half of a key for the log.
    """
    seq = batch.known.get(line.id)
    if seq is not None:
        return Ordered(line.id, seq, is_new=False)
    batch.record_releases()
    try:
        check_former(batch, line)
        decided = changes(batch.directory, line, now=batch.now)
        _check_code(batch, line, source)
        _check_order(batch, line, allow, holds)
    except Refusal as refusal:
        # An enrolment proves possession of its own key only: anyone can make one, so it is counted, not logged singly.
        if line.header.kid in batch.directory.keys:
            record_refusal(batch, "key.refused" if line.header.typ == KEY else "order.refused", line, refusal)
        return refusal
    return _carry_out(batch, line, decided)


def _check_order(batch: Batch, line: Line, allow: Sequence[Allowed], holds: Callable[[VerifierKey], bool]) -> None:
    if line.header.typ != ORDER:
        return
    order = open_order(line)
    if order.act == "log-key" and not holds(parse_vkey(order.args["log_key"])):
        # Once it is announced nothing is signed without it.
        raise OrderConflict(
            "The hub does not hold this key; make it with `lintas-broker log-key new`.", member="log_key"
        )
    if order.act == "webhook":
        webhook_orders.check(batch, order, allow)
    elif order.act in matching.CHECKS:
        matching.CHECKS[order.act](batch, order)


def _carry_out(batch: Batch, line: Line, decided: tuple[Change, ...]) -> Ordered:
    before = batch.directory
    seqs = [batch.change(change, object_id=line.id) for change in decided]
    batch.keep(line, seqs[0])
    for change in decided:
        if change.kind in widening.WIDENING:
            widening.look_back(batch, change.detail["agency"], before)
    effect = EFFECTS.get(decided[0].kind)
    if effect is not None:
        effect(batch, line, seqs[0])
    kinds = tuple(change.kind for change in decided)
    needs_second = decided[-1].detail.get("needs") == "second"
    extra = _make_code(batch, decided[0]) if decided[0].kind == "partner.invited" else {}
    return Ordered(line.id, seqs[0], is_new=True, kinds=kinds, needs_second=needs_second, extra=extra)


def _make_code(batch: Batch, change: Change) -> dict[str, str | int]:
    code = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().rstrip("=").lower()
    invites.add(batch.conn, change.detail["invite"], hashlib.sha256(code.encode()).digest())
    return {"invite": change.detail["invite"], "code": code, "expires": batch.now + INVITE_S}


def _check_code(batch: Batch, line: Line, source: str) -> None:
    request = open_key_line(line) if line.header.typ == KEY else None
    if not isinstance(request, Enrol) or request.invite is None or request.code_hmac is None:
        return
    secret = invites.secret_of(batch.conn, request.invite)
    if secret is None or invites.tries(batch.conn, request.invite, source) >= TRIES_MAX:
        raise BadInvite(member="invite")
    expected = hmac.digest(secret, request.kid.encode(), "sha256")
    if not hmac.compare_digest(expected, unb64u(request.code_hmac)):
        invites.count_try(batch.conn, request.invite, source)
        raise BadInvite(member="code_hmac")
