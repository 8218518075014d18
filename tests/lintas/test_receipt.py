"""Tests of the receipt: what it proves offline, and that no part of it can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import merkle, note
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.errors import BadReceipt
from lintas.event import Event, encode, entry_of
from lintas.receipt import (
    PROOF_HASHES_MAX,
    RECEIPT_BYTES_MAX,
    Logged,
    Receipt,
    check_receipt,
    format_receipt,
    parse_receipt,
)
from lintas.strict import parse_object

ORIGIN = "hub.example/log/1"
KEY = note.SignerKey.from_seed(ORIGIN, bytes(32))
LINE = "S3gxSPqlpyQqjYcKfFbKZ0kgxcmYl0lXE6lRbkJqv5o"
OTHER_LINE = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


def body(kind: str = "bulletin.accepted", obj: str | None = LINE, detail: Mapping[str, Any] | None = None) -> bytes:
    """Return an event body."""
    event = Event(kind=kind, time=1, party="my-police", party_seq=1, object=obj, detail=detail or {})
    return encode(event, bytes(16))


def log(*bodies: bytes, key: note.SignerKey = KEY, origin: str = ORIGIN) -> list[Receipt]:
    """Log these event bodies under one checkpoint; return the receipt of each."""
    frontier, rows = merkle.Frontier(0, ()), []
    for each in bodies:
        frontier, nodes = frontier.append(merkle.leaf_hash(entry_of(each)))
        rows.append(nodes)
    text = format_checkpoint(Checkpoint(origin, len(bodies), frontier.root()))
    signed = note.sign_note(text, key)

    def get(wanted: Any) -> list[bytes]:
        places = [merkle.node_address(*address) for address in wanted]
        return [rows[seq][offset : offset + 32] for seq, offset in places]

    return [
        Receipt(index, tuple(merkle.inclusion_proof(index, len(bodies), get)), signed, each)
        for index, each in enumerate(bodies)
    ]


RECEIPTS = log(body("log.opened", None), body("view.read", None), body(), body(obj=OTHER_LINE), body("view.read", None))
RECEIPT = RECEIPTS[2]
WRITTEN = format_receipt(RECEIPT)


def check(receipt: Receipt, *, line_id: str = LINE, origin: str = ORIGIN, key: note.SignerKey = KEY) -> Logged:
    """Check a receipt against what is pinned."""
    return check_receipt(receipt, line_id=line_id, origin=origin, key=key.verifier)


def test_format() -> None:
    """A receipt is the body, the index, the hashes from the leaf up, an empty line and the checkpoint as signed."""
    lines = [
        "c2sp.org/tlog-proof@v1",
        f"extra {note.b64(body())}",
        "index 2",
        *[note.b64(each) for each in RECEIPT.proof],
        "",
        RECEIPT.checkpoint.decode(),
    ]

    assert len(RECEIPT.proof) == 3
    assert "\n".join(lines).encode() == WRITTEN


def test_format_without_body() -> None:
    """Without a body the extra line is left out."""
    written = format_receipt(replace(RECEIPT, extra=None))

    assert written.startswith(b"c2sp.org/tlog-proof@v1\nindex 2\n")
    assert parse_receipt(written) == replace(RECEIPT, extra=None)


@given(
    index=st.integers(0, 10**16 - 1),
    proof=st.lists(st.binary(min_size=32, max_size=32), max_size=PROOF_HASHES_MAX),
    extra=st.none() | st.binary(max_size=200),
    checkpoint=st.binary(max_size=100),
)
def test_round_trip(index: int, proof: list[bytes], extra: bytes | None, checkpoint: bytes) -> None:
    """Every receipt that is written can be read, byte for byte."""
    receipt = Receipt(index, tuple(proof), checkpoint, extra)

    assert parse_receipt(format_receipt(receipt)) == receipt


def test_check() -> None:
    """A receipt proves the event of its line, its index, and the tree it is in."""
    expected = Logged(seq=2, size=5, root=root_of(5), event=parse_object(body()))

    assert check(parse_receipt(WRITTEN)) == expected


def test_check_every_index() -> None:
    """Each event of a log has a receipt that holds."""
    receipts = log(*[body(detail={"number": number}) for number in range(9)])

    assert [check(each).event["detail"]["number"] for each in receipts] == list(range(9))


def test_check_release() -> None:
    """The release event that names a line among others is a receipt for each of them."""
    released = body("bulletin.released", None, {"ids": [OTHER_LINE, LINE]})
    (receipt,) = log(released)

    assert check(receipt).event["kind"] == "bulletin.released"
    assert check(receipt, line_id=OTHER_LINE).event["detail"]["ids"] == [OTHER_LINE, LINE]


@pytest.mark.parametrize(
    "event",
    [
        body(obj=OTHER_LINE),
        body(obj=None),
        body("bulletin.released", OTHER_LINE, {"ids": [OTHER_LINE]}),
        body("bulletin.released", None, {"ids": LINE}),
        body("bulletin.released", None, {"ids": {LINE: 1}}),
        body("bulletin.released", None, {"ids": [[LINE]]}),
        body("bulletin.released", None, {"withheld": [LINE]}),
        body("bulletin.sent", None, {"ids": [LINE]}),
        b'{"kind":"bulletin.released","detail":["ids"]}',
        b'{"kind":"bulletin.released"}',
        b"{}",
    ],
)
def test_check_event_of_another_line(event: bytes) -> None:
    """An event that does not name the line as its object or among its releases is refused."""
    (receipt,) = log(event)

    with pytest.raises(BadReceipt, match="another line"):
        check(receipt)


@pytest.mark.parametrize("kind", ["bulletin.refused", "order.refused", "key.refused"])
def test_check_refusal(kind: str) -> None:
    """An event that says the line was refused is no receipt for it."""
    (receipt,) = log(body(kind))

    with pytest.raises(BadReceipt, match="refused this line"):
        check(receipt)


@pytest.mark.parametrize(
    "event", [b"", b"text", b"[]", b'{"object":1,"object":2}', f'{{"object":"{LINE}"}} '.encode() + b"\xff"]
)
def test_check_event_that_is_none(event: bytes) -> None:
    """A logged body that is not one strict JSON object is refused."""
    (receipt,) = log(event)

    with pytest.raises(BadReceipt, match="does not hold"):
        check(receipt)


def test_check_without_body() -> None:
    """A proof without the body says nothing about a line."""
    with pytest.raises(BadReceipt, match="no event body"):
        check(replace(RECEIPT, extra=None))


def test_check_other_body() -> None:
    """A body that was not logged is refused, whatever line it names."""
    with pytest.raises(BadReceipt, match="does not hold"):
        check(replace(RECEIPT, extra=body(detail={"reason": "other"})))


def test_check_neighbour() -> None:
    """The proof of a neighbour is refused."""
    for neighbour in (each for each in RECEIPTS if each is not RECEIPT):
        with pytest.raises(BadReceipt, match="does not hold"):
            check(replace(RECEIPT, proof=neighbour.proof))
        with pytest.raises(BadReceipt, match="does not hold"):
            check(replace(RECEIPT, index=neighbour.index))


def test_check_index_outside_the_tree() -> None:
    """An index beyond the signed size is refused even where the proof leads to the root."""
    (receipt,) = log(body())

    assert check(receipt).seq == 0
    with pytest.raises(BadReceipt, match="no leaf 1"):
        check(replace(receipt, index=1))


def test_check_tree_of_another_log() -> None:
    """The receipt of another tree is refused though everything in it fits together."""
    foreign = log(body(), key=note.SignerKey.from_seed(ORIGIN, b"s" * 32))[0]
    elsewhere = log(body(), origin="hub.example/log/2")[0]

    for receipt in (foreign, elsewhere):
        with pytest.raises(BadReceipt, match="does not hold"):
            check(receipt)


def test_check_with_other_pins() -> None:
    """A receipt holds for the pinned origin, the pinned key and its own line alone."""
    stranger = note.SignerKey.from_seed(ORIGIN, b"s" * 32)

    with pytest.raises(BadReceipt, match="another line"):
        check(RECEIPT, line_id=OTHER_LINE)
    with pytest.raises(BadReceipt, match="does not hold"):
        check(RECEIPT, origin="hub.example/log/2")
    with pytest.raises(BadReceipt, match="does not hold"):
        check(RECEIPT, key=stranger)


def test_check_under_later_checkpoint() -> None:
    """The checkpoint of another size does not fit the proof."""
    later = log(*[body(detail={"number": number}) for number in range(7)])[0]

    with pytest.raises(BadReceipt, match="does not hold"):
        check(replace(RECEIPT, checkpoint=later.checkpoint))


@pytest.mark.parametrize("place", range(len(WRITTEN)))
def test_flipped_byte(place: int) -> None:
    """No byte of a receipt can be changed."""
    for flip in (0x01, 0x20, 0x80):
        tampered = WRITTEN[:place] + bytes([WRITTEN[place] ^ flip]) + WRITTEN[place + 1 :]

        with pytest.raises(BadReceipt):
            check(parse_receipt(tampered))


@pytest.mark.parametrize("size", range(len(WRITTEN)))
def test_cut_short(size: int) -> None:
    """No beginning of a receipt is a receipt."""
    with pytest.raises(BadReceipt):
        check(parse_receipt(WRITTEN[:size]))


HASH = note.b64(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0\n",
        "c2sp.org/tlog-proof@v1\n\nnote",
        "c2sp.org/tlog-proof@v2\nindex 0\n\nnote",
        "\nc2sp.org/tlog-proof@v1\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\nnote",
        "c2sp.org/tlog-proof@v1\nextra AAAA\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AAAA\nextra AAAA\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AAB=\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra  AAAA\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\n0\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 00\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex -1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0 \n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 12345678901234567\n\nnote",
        "c2sp.org/tlog-proof@v1\nIndex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\nnote",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-1]}\n\nnote",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH} \n\nnote",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-2]}B=\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\n\u00e9\n\nnote",
    ],
)
def test_malformed_receipt(text: str) -> None:
    """A receipt that is not spelt in the one right way is refused."""
    with pytest.raises(BadReceipt):
        parse_receipt(text.encode())


def test_well_formed_receipt() -> None:
    """The text that the malformed ones are made from can itself be read."""
    text = f"c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n{HASH}\n\nnote"

    assert parse_receipt(text.encode()) == Receipt(0, (bytes(32),), b"note", bytes(3))


def test_length_of_proof() -> None:
    """A proof has at most 63 hashes."""
    longest = Receipt(0, (bytes(32),) * PROOF_HASHES_MAX, b"note", None)

    assert parse_receipt(format_receipt(longest)) == longest
    with pytest.raises(BadReceipt):
        parse_receipt(format_receipt(replace(longest, proof=(bytes(32),) * 64)))


def test_size_of_receipt() -> None:
    """A receipt has at most 256 KiB."""
    room = RECEIPT_BYTES_MAX - len(format_receipt(Receipt(0, (), b"", None)))

    assert len(parse_receipt(format_receipt(Receipt(0, (), bytes(room), None))).checkpoint) == room
    with pytest.raises(BadReceipt, match="at most 262144 bytes"):
        parse_receipt(format_receipt(Receipt(0, (), bytes(room + 1), None)))


def root_of(size: int) -> bytes:
    """Return the root of the first events of the tests' log."""
    frontier = merkle.Frontier(0, ())
    for each in RECEIPTS[:size]:
        frontier, _ = frontier.append(merkle.leaf_hash(entry_of(each.extra or b"")))
    return frontier.root()
