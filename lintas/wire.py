"""Each operation of a client once, as a generator of requests.

An operation yields a `Request` and is sent the response; a driver (`lintas.client`) does the talking, in a thread or
on an event loop. Nothing here waits, retries or knows httpx. Every answer of the hub is checked before it is believed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from lintas import feed, proving, sync, withdrawal
from lintas.checkpoint import Checkpoint
from lintas.crossing import read_crossing
from lintas.draft import Draft
from lintas.errors import (
    BadNote,
    BadReceipt,
    Busy,
    Evidence,
    HubUnreachable,
    InconsistentLog,
    InternalError,
    KeyNotActive,
    LintasError,
    NewEpoch,
    NotFound,
    NotWitnessed,
    OrderConflict,
    RateLimited,
    ReadOnly,
    Recalled,
    Refusal,
    RequestTimeout,
    SealedToOldKey,
    Stale,
    StorageFull,
    StorageUnreachable,
    Superseded,
    WrongOpeningKeys,
)
from lintas.event import KINDS
from lintas.header import ACK, BULLETIN, KEY, ORDER
from lintas.keys import fresh_nonce
from lintas.line import Line, parse
from lintas.log_keys import LOG_KEYS_MAX
from lintas.note import split_note
from lintas.problems import from_problem
from lintas.quorum import Policy, judge
from lintas.receipt import Logged, check_receipt, parse_receipt
from lintas.request import Operation, Request, Response, expect, given, read
from lintas.session import Session
from lintas.state import SENT, WAITING, Outgoing
from lintas.strict import Json, b64u, canonical, parse_object

LINES_MEDIA = "application/jsonl"
BATCH_LINES_MAX = 200
"""Lines sent at once: enough to share one commit, small enough to lose little by a cut connection."""

SIGN_AGAIN_MAX = 3
"""How often one bulletin is signed again: opening keys may be renewed while it is on its way, but not for ever."""


@dataclass(frozen=True, slots=True)
class Published:
    """An accepted bulletin: its id, its place in the log, its receipt (None after a batch: ask for it)."""

    id: str
    seq: int
    receipt: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub says of a key line or an order. `code` is an invitation's secret, given once."""

    id: str
    seq: int
    events: tuple[str, ...]
    needs_second: bool
    logged: Logged
    invite: str | None = None
    code: str | None = None
    expires: int | None = None


def catch_up(session: Session) -> Operation[sync.Synced]:
    """Take over every event this party may read, up to now; where the log has a new key, cross to it."""
    try:
        return (yield from _catch_up(session))
    finally:
        # What was crossed to counts from here on only if the replay justified it: then it is kept.
        session.crossed = None


def _catch_up(session: Session) -> Operation[sync.Synced]:
    synced = sync.Synced()
    while True:
        asked, nonce = sync.place(session), fresh_nonce()
        response = yield from read(
            session, "/v1/log/events", after=given(asked.after), limit=sync.EVENT_ROWS_MAX, nonce=nonce
        )
        # First of all the checkpoint: where the log has forked, that is what can be proven to others.
        yield from _cross(session, sync.note_of(response.body))
        yield from check_consistent(session, sync.note_of(response.body))
        view = sync.read_view(session, response.body, asked, nonce)
        if sync.accept_view(session, view, synced) and view.is_complete:
            yield from proving.prove_purges(session)
            session.caught_up_at = session.now()
            return synced


def _cross(session: Session, note: bytes) -> Operation[None]:
    """Ask which keys follow the newest known one, until one is known that signed this note."""
    for _ in range(LOG_KEYS_MAX):
        if session.log_keys.knows(split_note(note)[1]):
            return
        try:
            response = yield from read(session, f"/v1/log/key/{session.log_keys.newest.key_id.hex()}")
        except NotFound:
            # No key follows: the note is a stranger's, as its opening will say.
            return
        crossed = read_crossing(response.body, session.log_keys)
        # Held against what was kept by the keys that were known before, so that a fork shows as one.
        yield from check_consistent(session, parse_receipt(response.body).checkpoint)
        session.crossed = crossed


def renew_keys(session: Session, note: bytes) -> Operation[None]:
    """Catch up with the log when none of the known keys signed this note: it may have a new one."""
    if not session.log_keys.knows(split_note(note)[1]):
        yield from catch_up(session)


def prove(session: Session, receipt: bytes, line_id: str) -> Operation[Logged]:
    """Check the receipt of a line by the log's keys; raise BadReceipt."""
    found = parse_receipt(receipt)
    with suppress(BadNote):
        yield from renew_keys(session, found.checkpoint)
    return check_receipt(found, line_id=line_id, origin=session.origin, key=session.log_keys)


def check_consistent(session: Session, note: bytes) -> Operation[Checkpoint]:
    """Demand proof that this checkpoint extends the one kept; raise InconsistentLog, and keep the evidence."""
    new, kept = sync.open_checkpoint(session, note), session.state.get("checkpoint")
    old = sync.known_checkpoint(session)
    if kept is None or old is None or old.size == 0 or (old.size, old.root) == (new.size, new.root):
        return new
    # An older receipt is proven the other way round, as a part of what we know.
    (first, second), notes = ((new, old), (note, kept)) if new.size < old.size else ((old, new), (kept, note))
    try:
        response = yield from read(session, "/v1/log/witness", old=first.size, size=second.size)
    except NotFound as fault:
        sync.keep_conflict(session, kept, note)
        raise InconsistentLog(f"The hub denies a checkpoint of its log: size {first.size} or {second.size}.") from fault
    sync.check_extends(session, *notes, response.body)
    return new


def fetch(session: Session, line_id: str, *, superseded: bool = False) -> Operation[feed.Received]:
    """Get one bulletin and verify it; raise NotFound, Recalled, Superseded, NoLongerValid or Purged.

    With `superseded` one that was replaced is given too, with that mark.
    """
    response = yield from read(session, f"/v1/bulletins/{line_id}", superseded=1 if superseded else None)
    yield from catch_up(session)
    found = proving.read_line(session, response, line_id)
    claim = feed.Received(found.seq, line_id, state="superseded", by=response.headers.get("lintas-by"))
    claims = [claim] if superseded and response.headers.get("lintas-state") == "superseded" else []
    gone = yield from proving.prove(session, withdrawal.missing(session, [found, *claims]))
    marks = tuple(mark for each in claims for mark in (each.state or "", *withdrawal.marks_of(session, each, gone)))
    if found.header.iss != session.party:
        released = session.state.released([line_id]).get(line_id)
        found = feed.judge(session, found, released, gone, superseded=superseded)
    if found.state is not None:
        # The hub shows what its issuer withdrew, as we know for certain.
        raise (Recalled if found.state == "recalled" else Superseded)(by=found.by or "")
    return replace(found, marks=tuple(dict.fromkeys((*found.marks, *marks))), by=claim.by if claims else found.by)


def receipt(session: Session, line_id: str, policy: Policy | None = None) -> Operation[bytes]:
    """Get the receipt of a bulletin and check it against the pinned log and its last known checkpoint.

    With a policy it must be witnessed as that demands; raise NotWitnessed until it is.
    """
    response = yield from read(session, f"/v1/bulletins/{line_id}/receipt", witnessed=None if policy is None else 1)
    logged = yield from prove(session, response.body, line_id)
    found = parse_receipt(response.body)
    if logged.event["kind"] not in ("bulletin.accepted", "bulletin.released"):
        raise BadReceipt(f"It is of a {logged.event['kind']} event.")
    if policy is not None and not judge(found.checkpoint, key=session.log_keys, policy=policy).is_enough:
        raise NotWitnessed("Enough for the hub's policy, but not for yours.")
    yield from check_consistent(session, found.checkpoint)
    return response.body


def publish_draft(session: Session, draft: Draft, *, tag: str | None = None) -> Operation[Published]:
    """Resolve, sign, keep and send a draft; what was made under this tag before is sent on instead."""
    known = session.state.by_tag(tag) if tag is not None else None
    if known is None:
        line = session.sign_bulletin(draft, release_to=session.recipients(draft))
        return (yield from publish(session, line, tag=tag))
    if known.state == SENT and known.seq is not None:
        return Published(known.id, known.seq, known.receipt)
    if known.state != WAITING:
        raise OrderConflict(f"The line made under this tag was {known.state}: {known.problem or known.id}.")
    return (yield from send(session, parse(known.line)))


def publish(session: Session, line: Line, *, tag: str | None = None) -> Operation[Published]:
    """Keep a signed bulletin in the outbox, then send it; the same bytes until the hub answers."""
    session.state.enqueue(line.id, line.raw, tag)
    return (yield from send(session, line))


def send(session: Session, line: Line, *, again: int = SIGN_AGAIN_MAX) -> Operation[Published]:
    """Send a line of the outbox and settle it."""
    response = yield Request("POST", "/v1/bulletins", line.raw, f"application/{BULLETIN}")
    try:
        expect(response, 200, 201)
    except Refusal as refusal:
        renewed = (yield from sign_again(session, line, refusal)) if again > 0 else None
        if renewed is not None:
            return (yield from send_instead(session, renewed, line, again=again - 1))
        settle_refusal(session, line.id, refusal)
        raise
    logged = yield from _settled(session, line.id, response.body)
    return Published(line.id, logged.seq, response.body)


def send_instead(session: Session, line: Line, refused: Line, *, again: int = SIGN_AGAIN_MAX) -> Operation[Published]:
    """Send a line that was signed again in the place of one that no hub accepted; both are kept."""
    with session.state.transaction():
        session.state.replace(refused.id, line.id, line.raw)
    return (yield from send(session, line, again=again))


def sign_again(session: Session, line: Line, refusal: LintasError) -> Operation[Line | None]:
    """Sign a refused line anew if it only came too late: by our clock, or because opening keys were renewed.

    A hub's word alone makes nobody sign again; for keys the proven directory is asked. None: the refusal stands.
    """
    is_misfit = isinstance(refusal, WrongOpeningKeys) and line.header.enc is not None
    if is_misfit:
        yield from catch_up(session)
    try:
        if (is_misfit and session.is_outdated(line)) or (isinstance(refusal, Stale) and session.is_stale(line)):
            return session.sign_again(line)
    except (Refusal, SealedToOldKey):
        # Nobody to seal to any more, or our own copy does not open: it cannot be made again.
        return None
    return None


def flush(session: Session) -> Operation[list[Published | Refusal]]:
    """Send everything that waits in the outbox, many lines a request; one outcome a line, in order."""
    outcomes: list[Published | Refusal] = []
    # Acknowledgements wait in the same outbox and go to an address each (lintas.acknowledge).
    waiting = [each for each in session.state.outgoing() if parse(each.line).header.typ != ACK]
    for start in range(0, len(waiting), BATCH_LINES_MAX):
        outcomes += yield from send_many(session, waiting[start : start + BATCH_LINES_MAX])
    return outcomes


def send_many(session: Session, outgoing: Sequence[Outgoing]) -> Operation[list[Published | Refusal]]:
    """Send these lines of the outbox in one request and settle each."""
    response = yield Request("POST", "/v1/bulletins", b"\n".join(each.line for each in outgoing), LINES_MEDIA)
    rows = _results(expect(response, 200))
    if [row.get("id") for row in rows] != [each.id for each in outgoing]:
        raise HubUnreachable("The hub did not answer line by line; nothing was settled, send again.")
    outcomes: list[Published | Refusal] = []
    for row, each in zip(rows, outgoing, strict=True):
        if "problem" not in row:
            session.state.settle(each.id, seq=row["seq"], receipt=None)
            outcomes.append(Published(each.id, row["seq"], None))
            continue
        refusal = from_problem(row["problem"], row["status"])
        line = parse(each.line)
        renewed = yield from sign_again(session, line, refusal)
        if renewed is not None:
            outcomes.append((yield from send_instead(session, renewed, line)))
            continue
        settle_refusal(session, each.id, refusal)
        outcomes.append(refusal if isinstance(refusal, Refusal) else Refusal(str(refusal)))
    return outcomes


def post_key(session: Session, line: Line) -> Operation[Answer]:
    """Send a key line and check its receipt."""
    response = yield Request("POST", "/v1/keys", line.raw, f"application/{KEY}")
    return (yield from _answer(session, line, expect(response, 200, 201)))


def post_order(session: Session, line: Line) -> Operation[Answer]:
    """Send an order and check its receipt."""
    response = yield Request("POST", "/v1/orders", line.raw, f"application/{ORDER}")
    return (yield from _answer(session, line, expect(response, 200, 201, 202)))


def enrol(session: Session, *, invite: str | None, code: str, holder: str) -> Operation[Answer]:
    """Ask for the admission of this session's own key with an invitation."""
    key = session.identity.key
    payload: Json = {"act": "enrol", **session.key_window(key, holder)}
    if invite is not None:
        secret = hashlib.sha256(code.encode()).digest()
        payload |= {"invite": invite, "code_hmac": b64u(hmac.digest(secret, key.kid.encode(), "sha256"))}
    if session.identity.openings:
        payload["opening"] = session.opening_window(session.identity.openings[-1])
    return (yield from post_key(session, session.sign_line(KEY, canonical(payload))))


def admin_events(session: Session, **filters: str | int | None) -> Operation[Json]:
    """Read a page of the audit log."""
    response = yield from read(session, "/v1/admin/events", **filters)
    return object_of(response.body)


def admin_view(session: Session, view: str) -> Operation[Json]:
    """Read one of the administrators' views: partners, keys, grants, orders, stats."""
    response = yield from read(session, f"/v1/admin/{view}")
    return object_of(response.body)


def object_of(body: bytes) -> Json:
    """Return the JSON object of an answer."""
    try:
        return parse_object(body, floats=True)
    except ValueError as fault:
        raise HubUnreachable(f"The hub's answer cannot be read: {fault!s:.200}") from fault


def _results(response: Response) -> list[Json]:
    rows = [object_of(row) for row in response.body.splitlines()]
    for row in rows:
        status, seq = row.get("status"), row.get("seq")
        is_accepted = status in (200, 201) and type(seq) is int and "problem" not in row
        if not is_accepted and not (type(status) is int and isinstance(row.get("problem"), dict)):
            raise HubUnreachable("The hub answered a line with neither its place nor a problem; send again.")
    return rows


def _settled(session: Session, line_id: str, body: bytes) -> Operation[Logged]:
    try:
        logged = yield from prove(session, body, line_id)
        if logged.event["kind"] != "bulletin.accepted":
            raise BadReceipt(f"It is of a {logged.event['kind']} event.")
    except NewEpoch:
        # Whether it stands there too is found out when somebody has gone over; until then it waits.
        raise
    except Evidence as fault:
        raise BadReceipt(f"The hub accepted {line_id}, but its receipt does not prove it: {fault}") from fault
    session.state.settle(line_id, seq=logged.seq, receipt=body)
    return logged


def settle_refusal(session: Session, line_id: str, refusal: LintasError) -> None:
    """Note in the outbox that the hub refused a line, unless that may pass by itself."""
    # The line is left waiting then, and so it is by what no hub says but a proxy before it: the same
    # bytes are sent again.
    waits = Busy | RateLimited | ReadOnly | StorageUnreachable | StorageFull
    may_pass = waits | InternalError | RequestTimeout | KeyNotActive
    if type(refusal) is not Refusal and not isinstance(refusal, may_pass):
        session.state.refuse(line_id, refusal.code)


def _answer(session: Session, line: Line, response: Response) -> Operation[Answer]:
    members = object_of(response.body)
    logged = yield from prove(session, str(members.get("receipt", "")).encode(), line.id)
    if KINDS.get(str(logged.event["kind"])) != "accepted":
        raise BadReceipt(f"The receipt is of a {logged.event['kind']} event.")
    return Answer(
        id=line.id,
        seq=logged.seq,
        events=feed.texts(members.get("events")),
        needs_second=bool(members.get("needs_second")),
        logged=logged,
        invite=members.get("invite"),
        code=members.get("code"),
        expires=members.get("expires"),
    )
