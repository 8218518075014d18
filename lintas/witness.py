"""The steps of a witness, who cosigns only what extends all it saw.

Its memory is a client's memory of its own, so the rule is the client's: nothing but a consistent, larger or equal tree
is taken over. What it adds is the order of things. The new checkpoint is durable before a cosignature over it exists
outside this process: killed in between, a witness has signed too little, never two trees.
Spec: docs/spec/log.md; C2SP tlog-witness.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from lintas import sync, wire
from lintas.checkpoint import parse_add_checkpoint
from lintas.cosignature import cosign
from lintas.epoch import check_epoch
from lintas.errors import BadProof, Evidence, HubUnreachable, InconsistentLog, NotFound
from lintas.note import SignerKey, format_note, split_note
from lintas.request import Operation, Request, expect, read
from lintas.session import Session
from lintas.strict import parse_object

MEDIA = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Attended:
    """One look at the log: its size, whether we cosigned it now, whether that made enough for the hub's policy."""

    size: int
    is_cosigned: bool
    is_witnessed: bool


def attend(session: Session, key: SignerKey) -> Operation[Attended]:
    """Look at the log once and cosign what is new; raise InconsistentLog when it does not extend what we saw."""
    has_asked = False
    while True:
        kept = session.state.get("checkpoint")
        body, note = yield from _pull(session, kept)
        if not has_asked and not session.log_keys.knows_all(split_note(note)[1]):
            # A new key of the log is learnt as every client learns it, by replaying who ordered it; and at once, so
            # that whoever gets hold of the former one finds no witness that still goes by it.
            yield from wire.catch_up(session)
            sync.open_checkpoint(session, note)
            has_asked = True
            continue
        if kept is not None:
            sync.check_extends(session, kept, note, body)
        size = sync.open_checkpoint(session, note).size
        if session.state.get_int("cosigned", -1) == size:
            return Attended(size, is_cosigned=False, is_witnessed=False)
        with session.state.transaction():
            # Two processes with one memory: whoever was slower looks again, so that neither goes back.
            is_ours = session.state.get("checkpoint") == kept
            if is_ours:
                session.state.put("checkpoint", note)
            time = session.now()
        if is_ours:
            return (yield from _post(session, note, key, time))


def _pull(session: Session, kept: bytes | None) -> Operation[tuple[bytes, bytes]]:
    """Return the checkpoint to cosign next, after the body that is to prove that it extends the one kept."""
    old = 0 if kept is None else sync.open_checkpoint(session, kept).size
    try:
        response = yield from read(session, "/v1/log/witness", old=old)
    except NotFound as fault:
        if kept is None:
            raise
        response = yield Request("GET", "/v1/log/checkpoint")
        check_epoch(response.body, session.origin)
        with suppress(Evidence):
            sync.keep_conflict(session, kept, response.body)
        raise InconsistentLog(f"The hub denies that its log ever had the size {old}.") from fault
    try:
        return response.body, parse_add_checkpoint(response.body)[2]
    except BadProof as fault:
        raise HubUnreachable(f"The hub's answer cannot be read: {fault}") from fault


def _post(session: Session, note: bytes, key: SignerKey, time: int) -> Operation[Attended]:
    text, signatures = split_note(note)
    by_log = [each for each in signatures if session.log_keys.knows([each])]
    cosigned = format_note(text, [*by_log, cosign(text, key, time=time)])
    response = yield Request("POST", "/v1/log/cosignatures", cosigned, MEDIA)
    try:
        answer = parse_object(expect(response, 200, 201).body)
    except ValueError as fault:
        raise HubUnreachable(f"The hub's answer cannot be read: {fault!s:.200}") from fault
    size = sync.open_checkpoint(session, note).size
    session.state.put("cosigned", size)
    return Attended(size, is_cosigned=answer.get("new") == 1, is_witnessed=answer.get("witnessed") is True)
