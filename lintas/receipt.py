"""The receipt, proof that a line was logged.

It carries the event body, its index, its inclusion proof and a signed checkpoint, so that whoever holds the line and
the pinned log key can check it offline for ever. It proves that the event is in the log, and that the event names the
line; what the event says beyond that is for the caller to read, except that a refusal is no receipt.
Spec: docs/spec/log.md; C2SP tlog-proof.
"""

from __future__ import annotations

from dataclasses import dataclass

from lintas.checkpoint import open_checkpoint, parse_decimal, parse_hash
from lintas.errors import BadCheckpoint, BadNote, BadProof, BadReceipt
from lintas.event import KINDS, entry_of
from lintas.log_keys import LogKeys
from lintas.merkle import check_inclusion, leaf_hash
from lintas.note import VerifierKey, b64, split_note, unb64
from lintas.strict import Json, parse_object

FIRST_LINE = b"c2sp.org/tlog-proof@v1"

RECEIPT_BYTES_MAX = 256 * 1024
"""An event of a release names at most 200 bulletins, some 25 KB; a proof and its checkpoint add 5 KB."""

ACK_KINDS = frozenset({"bulletin.opened", "bulletin.acknowledged"})
"""Events of an acknowledgement: their object is the bulletin, and `ack` in their detail the line that says so."""

PROOF_HASHES_MAX = 63
"""A tree of 2^63 leaves has no longer path."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A tlog-proof. `extra` is the event body; None proves an entry to one who has the body already."""

    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None


@dataclass(frozen=True, slots=True)
class Logged:
    """What a receipt proved: the event, its index, and the tree it is in."""

    seq: int
    size: int
    root: bytes
    event: Json


def format_receipt(receipt: Receipt) -> bytes:
    """Return the text of a receipt."""
    extra = [] if receipt.extra is None else [f"extra {b64(receipt.extra)}"]
    lines = ["", *extra, f"index {receipt.index}", *map(b64, receipt.proof), "", ""]
    return FIRST_LINE + "\n".join(lines).encode("ascii") + receipt.checkpoint


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt; raise BadReceipt when it is not spelt in the one right way. Nothing is verified yet."""
    if len(data) > RECEIPT_BYTES_MAX:
        raise BadReceipt(f"A receipt has at most {RECEIPT_BYTES_MAX} bytes.")
    # No line before the checkpoint is empty, so the first empty line is where it begins.
    head, separator, checkpoint = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    if not separator or first != FIRST_LINE:
        raise BadReceipt("The receipt does not begin as a tlog-proof.")
    try:
        return _parse([line.decode("ascii") for line in lines], checkpoint)
    except ValueError as fault:
        raise BadReceipt("The receipt has a line that is not spelt as a tlog-proof spells it.") from fault


def origin_in(data: bytes) -> str:
    """Return the log that a receipt says it is of, unproven; raise BadReceipt or BadNote."""
    text, _ = split_note(parse_receipt(data).checkpoint)
    return text.decode().partition("\n")[0]


def check_receipt(receipt: Receipt, *, line_id: str, origin: str, key: VerifierKey | LogKeys) -> Logged:
    """Return what the receipt proves about this line; raise BadReceipt when it does not."""
    if receipt.extra is None:
        raise BadReceipt("The receipt has no event body.")
    try:
        tree = open_checkpoint(receipt.checkpoint, origin=origin, key=key)
        leaf = leaf_hash(entry_of(receipt.extra))
        check_inclusion(leaf, receipt.index, tree.size, receipt.proof, tree.root)
        event = parse_object(receipt.extra)
    except (BadNote, BadCheckpoint, BadProof, ValueError) as fault:
        raise BadReceipt(f"The receipt does not hold. {fault}") from fault
    if line_id not in named(event):
        raise BadReceipt("The receipt is for another line.")
    if KINDS.get(str(event.get("kind"))) == "refused":
        raise BadReceipt("The log says that the hub refused this line.")
    return Logged(seq=receipt.index, size=tree.size, root=tree.root, event=event)


def _parse(lines: list[str], checkpoint: bytes) -> Receipt:
    extra = unb64(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else None
    if not lines or not lines[0].startswith("index "):
        raise ValueError("the index is missing")
    index = parse_decimal(lines.pop(0).removeprefix("index "))
    if len(lines) > PROOF_HASHES_MAX:
        raise ValueError("the proof is too long")
    return Receipt(index, tuple(map(parse_hash, lines)), checkpoint, extra)


def named(event: Json) -> list[object]:
    """Return the ids of the lines an event is about."""
    kind, detail = event.get("kind"), event.get("detail")
    facts = detail if isinstance(detail, dict) else {}
    released = facts.get("ids") if kind == "bulletin.released" else None
    acks = [facts.get("ack")] if kind in ACK_KINDS else []
    return [event.get("object"), *(released if isinstance(released, list) else []), *acks]
