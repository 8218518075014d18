"""The hub's witnesses, whose cosignatures complete its checkpoints.

Witnesses come to the hub, each at its own times, so the hub has to bring them together on one checkpoint: whoever asks
what to cosign next is shown the one that most others cosigned already and that still lacks some (`next_size`).
Cosignatures are verified here, once, kept for ever, and make no event: an event would need a checkpoint, that one more
cosignatures, without end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from broker.store import cosignatures, log
from broker.store.engine import Connection
from lintas.checkpoint import Checkpoint, parse_checkpoint
from lintas.cosignature import check_cosignatures
from lintas.directory import SKEW_S
from lintas.errors import (
    BadCheckpoint,
    BadNote,
    BadPolicy,
    BadRequest,
    BadSignature,
    FromTheFuture,
    NotFound,
    NotWitnessed,
    Refusal,
    UnknownWitness,
)
from lintas.log_keys import LogKeys
from lintas.note import VerifierKey, open_note, split_note
from lintas.quorum import Policy, for_log, parse_policy

BODY_BYTES_MAX = 16_384
"""A checkpoint with the lines of every witness a policy can have takes half of it."""

RETRY_AFTER_S = 60
"""Witnesses look about once a minute."""

logger = logging.getLogger("lintas.witnesses")


@dataclass(frozen=True, slots=True)
class Posted:
    """Verified cosignatures: the text and size they are about, the note they came in, the lines by verifier key."""

    text: bytes
    tree: Checkpoint
    note: bytes
    lines: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of posted cosignatures: how many are new, and whether the checkpoint has enough now."""

    size: int
    new: int
    is_witnessed: bool


def read_policy(path: Path | None, *keys: VerifierKey) -> Policy:
    """Read the policy of this hub; without a file nobody's cosignature is asked for. Raise BadPolicy."""
    if path is None:
        return Policy()
    try:
        return for_log(parse_policy(path.read_bytes()), *keys)
    except OSError as fault:
        raise BadPolicy(f"LINTAS_WITNESSES: {path} cannot be read: {fault.strerror}.") from fault
    except BadPolicy as fault:
        raise BadPolicy(f"LINTAS_WITNESSES: {path}: {fault.detail}") from fault


def open_cosignatures(note: bytes, policy: Policy, *, now: int) -> Posted:
    """Read a posted note and verify the cosignatures of known witnesses in it; raise a Refusal."""
    try:
        text, signatures = split_note(note)
        tree = parse_checkpoint(text.decode())
    except (BadNote, BadCheckpoint) as fault:
        raise BadRequest(f"The body is no checkpoint with signature lines. {fault.detail}") from fault
    try:
        found = check_cosignatures(text, signatures, policy.witnesses.values())
    except BadNote as fault:
        raise BadSignature(fault.detail) from fault
    if not found:
        raise UnknownWitness
    if max(each.time for each in found) > now + SKEW_S:
        raise FromTheFuture("A cosignature has a time that is still to come.")
    return Posted(text, tree, note, {each.witness.text(): each.signature.line() for each in found})


def keep(conn: Connection, posted: Posted, policy: Policy, keys: LogKeys) -> Kept | Refusal:
    """Keep cosignatures on a checkpoint that was published here; of each witness and size the first counts."""
    published = log.checkpoint_at(conn, posted.tree.size)
    if published is None or split_note(published)[0] != posted.text:
        _alarm(posted, keys)
        return NotFound("No such checkpoint was published here.")
    new = cosignatures.add(conn, posted.tree.size, posted.lines)
    return Kept(posted.tree.size, new, _is_enough(policy, cosignatures.at(conn, posted.tree.size)))


def newest_witnessed(conn: Connection, policy: Policy) -> tuple[int, bytes]:
    """Return size and note of the newest checkpoint that enough witnesses cosigned; raise NotWitnessed."""
    return _witnessed(conn, policy, cosignatures.newest(conn, count_min=policy.count_min))


def witnessed_over(conn: Connection, policy: Policy, seq: int) -> tuple[int, bytes]:
    """Return size and note of the first witnessed checkpoint that covers an index; raise NotWitnessed."""
    return _witnessed(conn, policy, cosignatures.oldest(conn, above=seq, count_min=policy.count_min))


def next_size(conn: Connection, policy: Policy, old: int) -> int | None:
    """Return the size a witness that knows `old` is to cosign next, None for the newest.

    Of what others cosigned beyond `old`, and since the last time it was enough, the one with most cosignatures: each
    would see another checkpoint otherwise, and on a busy hub no two would ever cosign the same.
    """
    done = next((each.size for each in _enough(policy, cosignatures.newest(conn, count_min=policy.count_min))), -1)
    # By count and not by size: a witness that cosigns everything must not push the others' common one out of sight.
    waiting = [each for each in cosignatures.most_cosigned(conn, above=max(old, done)) if _known(policy, each)]
    return max(waiting, key=lambda each: (len(_known(policy, each)), each.size)).size if waiting else None


def _witnessed(conn: Connection, policy: Policy, found: Iterable[cosignatures.Cosigned]) -> tuple[int, bytes]:
    for each in _enough(policy, found):
        note = log.checkpoint_at(conn, each.size)
        assert note is not None
        return each.size, note + "".join(_known(policy, each).values()).encode()
    raise NotWitnessed(retry_after=RETRY_AFTER_S)


def _enough(policy: Policy, found: Iterable[cosignatures.Cosigned]) -> Iterator[cosignatures.Cosigned]:
    yield from (each for each in found if _is_enough(policy, each))


def _known(policy: Policy, cosigned: cosignatures.Cosigned) -> dict[VerifierKey, str]:
    texts = {key: key.text() for key in policy.witnesses.values()}
    return {key: cosigned.lines[text] for key, text in texts.items() if text in cosigned.lines}


def _is_enough(policy: Policy, cosigned: cosignatures.Cosigned) -> bool:
    return policy.quorum is not None and policy.holds(_known(policy, cosigned))


def _alarm(posted: Posted, keys: LogKeys) -> None:
    try:
        signed_by = open_note(posted.note, keys.keys).verified
    except BadNote:
        return
    if keys.newest not in signed_by:
        # Nobody who crossed believes it; the others must hear that somebody has the former key.
        logger.critical(
            "a former log key has signed another checkpoint of size %d: warn the partners", posted.tree.size
        )
        return
    # Signed with our own key, and not in our database: it was restored, copied, or the key is known to somebody.
    logger.critical("the log key has signed another checkpoint of size %d: stop the hub", posted.tree.size)
