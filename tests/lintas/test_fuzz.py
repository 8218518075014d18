"""Every parser of foreign bytes against mutated samples: it accepts, or refuses with our own error.

`pytest --fuzz 100` tries a hundred times as many.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from lintas import bulletin, checkpoint, evidence, feed, merkle, note, quorum, receipt, strict
from lintas.ack import open_ack
from lintas.cosignature import check_cosignatures, cosign
from lintas.draft import read_draft
from lintas.errors import LintasError
from lintas.event import Event, encode, parse_event
from lintas.filter import read_filter
from lintas.header import ACK, BULLETIN, KEY, ORDER, TOKEN, parse_header
from lintas.jwk import public_of_jwk
from lintas.keys import unlock_identity
from lintas.line import check, is_nested, parse, sign
from lintas.lint import lint
from lintas.orders import check_indicators, nested, open_key_line, open_order
from lintas.sealed import read_sealed
from lintas.stream import EventReader
from lintas.strict import b64u, canonical
from lintas.webhooks import open_webhook, read_url
from tests.lintas.conftest import NOW, Ledger
from tests.lintas.test_bulletin import EVERYTHING, LEAST
from tests.lintas.test_receipt import WRITTEN
from tests.lintas.test_receipt import check as checked

LEDGER = Ledger()
LOG = note.SignerKey.from_seed("fuzz.lintas.example-k3v9q2xa/log/1", bytes(32))
WITNESS = note.SignerKey.from_seed("fuzz.lintas.example/witness/a", bytes(31) + b"\1", note.ALGORITHM_COSIGNATURE)
TEXT = checkpoint.format_checkpoint(checkpoint.Checkpoint(LOG.name, 7, bytes(range(32)))).encode()
NOTE = note.sign_note(TEXT, LOG)
COSIGNED = note.format_note(TEXT, [*note.split_note(NOTE)[1], cosign(TEXT, WITNESS, time=NOW)])
BODY = encode(Event("bulletin.accepted", NOW * 1_000_000, "my-police", 3, "A" * 43, {"kind": "alert"}), bytes(16))
RECEIPT = receipt.format_receipt(receipt.Receipt(5, (bytes(32), bytes(range(32))), NOTE, BODY))
POLICY = f"log {LOG.verifier.text()}\nwitness a {WITNESS.verifier.text()}\ngroup g 1 a\nquorum g\n".encode()
PROOF = b"old 3\n" + note.b64(bytes(32)).encode() + b"\n\n" + NOTE
EVENTS = (
    b'retry: 2000\n\nid: 12\nevent: bulletin\ndata: {"seq":12,"line":"a.b.c"}\n\n:\n\nevent: end\r\ndata: hour\r\n\r\n'
)
ROWS = b'{"seq":12,"line":"a.b.c"}\n{"seq":15,"id":"%b","state":"recalled","by":"%b"}\n' % (b"A" * 43, b"A" * 43)
HEADER: dict[str, Any] = {
    "exp": NOW + 9,
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "release_to": ["sg-fiu"],
}
LINES = [
    LEDGER.line(BULLETIN, "my-police", LEAST, urgency="urgent", refs=["comments:" + "A" * 43], **HEADER),
    LEDGER.line(TOKEN, "my-police", b"", exp=NOW + 300, scope="read", purpose="investigation", case_ref="SIM-1"),
    LEDGER.line(ACK, "sg-fiu", {"id": "A" * 43, "state": "opened", "seq": 5}),
    LEDGER.enrolment("my-police", invite="A" * 43),
    LEDGER.rotation("my-police", new="second"),
    LEDGER.revocation("my-police"),
    LEDGER.order("grant", agency="my-police", publish=["*"], read=["cyber"]),
    LEDGER.order(
        "interest",
        "my-police",
        mode="open",
        case_ref="SIM-1",
        until=NOW + 9,
        indicators=[{"type": "phone", "value": "+6670426579"}],
    ),
    LEDGER.order("webhook", "my-police", subscription="feed", url="https://example.org/hook"),
    LEDGER.order(
        "read-token",
        "my-police",
        token="k3v5q2xatz7m",
        digest="A" * 43,
        ceiling="AMBER",
        areas=["cyber"],
        until=NOW + 9,
        addresses=["198.51.100.0/24", "2001:db8::/48"],
        label="MISP",
    ),
]
SEALED = canonical({"to": {"A" * 43: "A" * 1_558}, "kc": "A" * 43, "ct": "A" * 1_387})
WEIRD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**53,
        -(2**63),
        10**400,
        "",
        "\0",
        "\u202e",
        "\ud800",
        "A" * 43,
        "*",
        "my-police",
    ),
    *([], {}, [[]], {"": ""}, "a" * 70_000, ["a"] * 3_000, "2026-11-20T01:00:00Z", "٣", "é", "e\u0301", "=1+1"),
]
BITS = [
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"\n\n",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"[",
    b"[" * 3_000,
    b".",
    b"=",
    b"-",
    b"_",
]
BITS += [
    b"0",
    b"1e9",
    b"9" * 5_000,
    b"-0",
    b"NaN",
    b"\xe2\x80\x94",
    b"\xef\xbb\xbf",
    b"old ",
    b"null",
    b'{"a":1,"a":2}',
    b" ",
]


@dataclass(frozen=True)
class Parser:
    """What reads foreign bytes: samples that it accepts, what it may raise, how to write again what it read."""

    read: Callable[[bytes], Any]
    samples: tuple[bytes, ...]
    refusals: tuple[type[Exception], ...] = (LintasError,)
    write: Callable[[Any], bytes] | None = None


def read_line(raw: bytes) -> None:
    """Open a line as the hub does, whatever kind it is."""
    line = parse(raw)
    head, payload, signature = raw.split(b".")
    assert (b64u(line.payload).encode(), b64u(line.signature).encode()) == (payload, signature)
    assert parse_header(strict.unb64u(head.decode())) == line.header
    if line.header.iss in ("my-police", "sg-fiu"):
        with suppress(LintasError):
            check(line, LEDGER.key(line.header.iss).public)
    if line.header.typ == BULLETIN:
        read_bulletin(line.payload)
    elif line.header.typ == ACK:
        open_ack(line)
    elif line.header.typ in (KEY, ORDER):
        read_control(raw)


def read_control(raw: bytes) -> None:
    """Open a key line or an order."""
    line = parse(raw)
    if line.header.typ == KEY:
        open_key_line(line)
    elif is_nested(line):
        nested(line)
    else:
        check_indicators(open_order(line))


def read_bulletin(payload: bytes, kind: str = "alert") -> bulletin.Bulletin:
    """Read a payload, with what is looked for in its text."""
    found = bulletin.parse(payload, kind=kind)
    lint(found, topic="cyber.scam", tlp="AMBER")
    return found


def signed(payload: bytes, typ: str) -> bytes:
    """Sign any payload as a line of this kind."""
    return sign(
        {"typ": typ, "iss": "my-police", "aud": "h.example-k3v9q2xa", "iat": NOW}, payload, LEDGER.key("my-police")
    )


def payloads(typ: str) -> tuple[bytes, ...]:
    """Return the payloads of the sample lines of a kind."""
    return tuple(line.payload for line in LINES if line.header.typ == typ)


def read_events(data: bytes) -> list[Any]:
    """Read a stream in one piece; the same must come of it in small pieces."""
    whole = EventReader().take(data)
    reader = EventReader()
    assert whole == [event for start in range(0, len(data), 7) for event in reader.take(data[start : start + 7])]
    return whole


def json_of(data: bytes) -> Any:
    """Read JSON as a caller has done before our reader looks at it."""
    try:
        return strict.parse_object(data)
    except ValueError as fault:
        raise LintasError from fault


def note_of(found: tuple[bytes, tuple[note.Signature, ...]]) -> bytes:
    """Write a note again."""
    return note.format_note(*found)


ANY_JSON = (canonical({"a": [1, "é", None, {"b": True}]}), b"{}")
DRAFT: dict[str, Any] = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "urgent",
    "release_to": ["sg-fiu"],
}
DRAFT |= {"valid_until": "2026-12-20T00:00:00Z", "payload": LEAST}
PARSERS: dict[str, Parser] = {
    "line": Parser(read_line, tuple(line.raw for line in LINES)),
    "header": Parser(parse_header, tuple(strict.unb64u(line.head) for line in LINES)),
    "strict JSON": Parser(strict.parse_object, ANY_JSON, (ValueError,)),
    "base64url": Parser(
        lambda data: strict.unb64u(data.decode("latin-1")),
        (b"QUJD", b"QQ"),
        (ValueError,),
        lambda found: b64u(found).encode(),
    ),
    "bulletin": Parser(read_bulletin, (canonical(EVERYTHING), canonical(LEAST))),
    "sealed": Parser(read_sealed, (SEALED,)),
    "key line": Parser(lambda data: read_control(signed(data, KEY)), payloads(KEY)),
    "order": Parser(lambda data: read_control(signed(data, ORDER)), payloads(ORDER)),
    "acknowledgement": Parser(lambda data: open_ack(parse(signed(data, ACK))), payloads(ACK)),
    "event": Parser(parse_event, (BODY,)),
    "note": Parser(note.split_note, (NOTE, COSIGNED), write=note_of),
    "opened note": Parser(lambda data: note.open_note(data, [LOG.verifier]), (NOTE, COSIGNED)),
    "cosignature": Parser(lambda data: check_cosignatures(*note.split_note(data), [WITNESS.verifier]), (COSIGNED,)),
    "verifier key": Parser(lambda data: note.parse_vkey(data.decode("latin-1")), (LOG.verifier.text().encode(),)),
    "signer key": Parser(lambda data: note.parse_signer_key(data.decode("latin-1")), (LOG.text().encode(),)),
    "checkpoint": Parser(lambda data: checkpoint.parse_checkpoint(data.decode("latin-1")), (TEXT, TEXT + b"x\n")),
    "consistency proof": Parser(checkpoint.parse_add_checkpoint, (PROOF,)),
    "receipt": Parser(receipt.parse_receipt, (RECEIPT,), write=receipt.format_receipt),
    "checked receipt": Parser(
        lambda data: checked(receipt.parse_receipt(data)),
        (WRITTEN,),
    ),
    "policy": Parser(quorum.parse_policy, (POLICY,)),
    "evidence of a fork": Parser(
        lambda data: evidence.judge_conflict(evidence.Conflict(NOTE, COSIGNED, data), LOG.verifier), (PROOF,)
    ),
    "evidence of dates": Parser(
        lambda data: evidence.judge_dates(COSIGNED, data, [WITNESS.verifier], LOG.verifier), (RECEIPT,)
    ),
    "tile path": Parser(
        lambda data: merkle.parse_tile_path(data.decode("latin-1")), (b"tile/0/x001/067.p/12", b"tile/entries/000")
    ),
    "entry bundle": Parser(merkle.parse_entry_bundle, (merkle.entry_bundle([bytes(32), b"a"]),)),
    "stream": Parser(read_events, (EVENTS,)),
    "page": Parser(lambda data: feed.read_page(data, after=-1, shown=-1, cursor="20", is_last=True), (ROWS,)),
    "draft": Parser(lambda data: read_draft(json_of(data)), (canonical(DRAFT),)),
    "filter": Parser(
        lambda data: read_filter(json_of(data)), (b'{"topic":["cyber"],"tlp":["AMBER"],"from":["my-police"]}',)
    ),
    "public key": Parser(
        lambda data: public_of_jwk(json_of(data)),
        (canonical({"crv": "Ed25519", "kty": "OKP", "x": b64u(LEDGER.key("a").public)}),),
    ),
    "webhook address": Parser(lambda data: read_url(data.decode("latin-1")), (b"https://example.org:8443/hook?a=b",)),
    "identity": Parser(lambda data: unlock_identity(data, b"wrong"), (b'{"v":1,"kdf":{}}', b"{}")),
}


@st.composite
def mutated(draw: DrawFn, samples: tuple[bytes, ...]) -> bytes:
    """Return a sample in which some bytes were changed, left out, doubled, put in or exchanged with another's."""
    data = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 40)))
        match draw(st.integers(0, 6)):
            case 0:
                data = data[:at] + draw(st.binary(min_size=1, max_size=4)) + data[to:]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:to] + data[at:]
            case 3:
                data = data[:at] + draw(st.sampled_from(BITS)) + data[at:]
            case 4:
                data = data[:at] + draw(st.sampled_from(BITS)) + data[to:]
            case 5:
                other = draw(st.sampled_from(samples))
                data = data[:at] + other[draw(st.integers(0, len(other))) :]
            case _:
                data = data[:at]
    return data


@st.composite
def reshaped(draw: DrawFn, samples: tuple[bytes, ...]) -> bytes:
    """Return a sample of JSON in which a value somewhere was exchanged, left out, or a member put beside it."""
    tree = json.loads(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        # A copy of its own: a value that is put into itself has no end.
        weird = deepcopy(draw(st.sampled_from(WEIRD) | st.text(max_size=20) | st.integers()))
        action = draw(st.integers(0, 3))
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder[draw(st.sampled_from([str(key), "a", "", "act", "id"]))] = weird
        elif action == 2 and isinstance(holder, list):
            holder.extend([weird] * draw(st.sampled_from([1, 2, 300])))
        else:
            holder[key] = weird
    return json.dumps(tree, ensure_ascii=draw(st.booleans()), separators=(",", ":")).encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Any:
    items: Any = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from _places(value)


def hold(parser: Parser, data: bytes) -> None:
    """Read bytes: they are refused with an error of ours, or written again as they were."""
    try:
        found = parser.read(data)
    except parser.refusals:
        return
    if parser.write is not None:
        assert data == parser.write(found)


@pytest.mark.parametrize("name", PARSERS)
def test_samples(name: str) -> None:
    """The samples are what the parser takes, but for an identity that nobody opens, and dates that prove nothing."""
    parser = PARSERS[name]
    for sample in parser.samples:
        if name not in ("identity", "evidence of dates"):
            parser.read(sample)
        hold(parser, sample)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_bytes(name: str, data: st.DataObject) -> None:
    """Whatever bytes come, a parser accepts them or refuses them with its own error."""
    parser = PARSERS[name]

    hold(parser, data.draw(mutated(parser.samples)))


SHAPED = sorted(
    name for name, parser in PARSERS.items() if all(each[:1] == b"{" and b"\n" not in each for each in parser.samples)
)


@pytest.mark.parametrize("name", SHAPED)
@given(data=st.data())
def test_shapes(name: str, data: st.DataObject) -> None:
    """Whatever JSON comes, its reader accepts it or refuses it with its own error."""
    parser = PARSERS[name]

    hold(parser, data.draw(reshaped(parser.samples)))


@given(data=st.data())
def test_header_in_its_line(data: st.DataObject) -> None:
    """A line whose header was reshaped is refused as a line, and never read as another."""
    line = data.draw(st.sampled_from(LINES))
    head = data.draw(reshaped((strict.unb64u(line.head),)))
    raw = f"{b64u(head)}.{b64u(line.payload)}.{b64u(line.signature)}".encode()

    hold(PARSERS["line"], raw)


@given(
    body=st.binary(max_size=200),
    headers=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=90)
    ),
)
def test_webhook(body: bytes, headers: dict[str, str]) -> None:
    """A receiver is given only calls that the hub signed; anything else is refused with our error."""
    with pytest.raises(LintasError):
        open_webhook(headers, body, "whpk_" + note.b64(LEDGER.key("hub").public), NOW)
