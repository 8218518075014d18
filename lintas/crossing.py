"""The crossing from one key of a log to the next.

What shows it is the receipt of the ``log.key`` event, under a checkpoint that the old key and the new one both signed.
It stays good for ever, so whoever was away through the whole overlap crosses as well. It says who follows whom, no
more: that two administrators ordered it shows when the event is replayed, and only then the key is kept.
Spec: docs/spec/log.md.
"""

from __future__ import annotations

from lintas.checkpoint import open_checkpoint
from lintas.errors import BadProof, BadReceipt, LintasError
from lintas.event import entry_of, parse_event
from lintas.log_keys import LogKeys
from lintas.merkle import check_inclusion, leaf_hash
from lintas.receipt import parse_receipt

KIND = "log.key"


def read_crossing(data: bytes, keys: LogKeys) -> LogKeys:
    """Return these keys with the one that follows the newest of them; raise BadReceipt."""
    found = parse_receipt(data)
    body = found.extra or b""
    try:
        tree = open_checkpoint(found.checkpoint, origin=keys.name, key=keys)
        check_inclusion(leaf_hash(entry_of(body)), found.index, tree.size, found.proof, tree.root)
        event = parse_event(body)
        if event.kind != KIND:
            raise BadProof(f"It is of a {event.kind} event.")
        crossed = keys.then(found.index, event.detail)
        # Also by the new key: it is there, and whoever announced it holds it.
        open_checkpoint(found.checkpoint, origin=keys.name, key=crossed)
    except LintasError as fault:
        raise BadReceipt(
            f"It does not show which key of the log follows {keys.newest.key_id.hex()}: {fault}"
        ) from fault
    return crossed
