"""The attack table over HTTP: each attempt is refused as stated, counted or logged, and leaves nothing behind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from lintas import ed25519
from lintas.header import BULLETIN, KEY, ORDER, TOKEN
from lintas.jwk import jwk
from lintas.keys import SigningKey
from lintas.line import Line
from lintas.receipt import parse_receipt
from lintas.session import Session
from lintas.strict import b64u, canonical
from tests.broker.conftest import AUDITOR, PAYLOAD, REGISTRAR, UNKNOWN_ID, Desks, problem_of

ISSUER, READER, OUTSIDER = "my-police", "sg-fiu", "tl-customs"
STRANGER = SigningKey.from_seed(b"\x07" * 32)


def header_of(session: Session, **changes: Any) -> dict[str, Any]:
    """Return the members of a sound header; a change to None removes one."""
    members: dict[str, Any] = {
        "alg": "Ed25519",
        "typ": BULLETIN,
        "kid": session.identity.key.kid,
        "iss": session.party,
        "aud": session.identity.hub.name,
        "iat": session.now(),
        "exp": session.now() + 86_400,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "release_to": [READER],
        "urgency": "routine",
    }
    return {name: value for name, value in (members | changes).items() if value is not None}


def sign_raw(session: Session, header: bytes, payload: bytes | None = None) -> bytes:
    """Sign these header bytes, whatever they are, with the party's real key."""
    signing_input = f"{b64u(header)}.{b64u(canonical(PAYLOAD) if payload is None else payload)}".encode()
    return signing_input + b"." + b64u(session.identity.key.sign(signing_input)).encode()


def sign_changed(session: Session, **changes: Any) -> bytes:
    """Sign a header with these members changed."""
    return sign_raw(session, json.dumps(header_of(session, **changes)).encode())


def attempt(shared: Desks, raw: bytes, typ: str = BULLETIN) -> httpx.Response:
    """Post bytes that must leave nothing behind but a count or an event of refusal."""
    before = shared.stored(), len(shared.events(kind="bulletin.accepted")), len(shared.events(kind="bulletin.released"))
    answer = shared.post(raw, typ)
    after = shared.stored(), len(shared.events(kind="bulletin.accepted")), len(shared.events(kind="bulletin.released"))
    assert before == after
    return answer


def counted(shared: Desks) -> dict[str, int]:
    """Return how often each code was counted against strangers, after an administrator looked."""
    assert shared.get("/v1/admin/stats", AUDITOR).status_code == 200
    codes: dict[str, int] = {}
    for detail in shared.details(kind="auth.refused"):
        for code, number in detail["codes"].items():
            codes[code] = codes.get(code, 0) + number
    return codes


def assert_refused(shared: Desks, raw: bytes, expected: tuple[int, str, str | None], typ: str = BULLETIN) -> None:
    """Demand this problem for these bytes, and that it was counted."""
    before = counted(shared).get(expected[1], 0)

    answer = attempt(shared, raw, typ)

    assert expected == problem_of(answer)
    assert before + 1 == counted(shared)[expected[1]]


def assert_refused_and_logged(shared: Desks, line: Line, expected: tuple[int, str, str | None]) -> None:
    """Demand this problem for a line with a good signature, and an event of its issuer that records it."""
    answer = attempt(shared, line.raw)

    assert expected == problem_of(answer)
    [event] = shared.events(kind="bulletin.refused", object=line.id)
    assert line.header.iss == event.party
    assert {"code": expected[1]} | ({"member": expected[2]} if expected[2] else {}) == shared.details(object=line.id)[0]


@pytest.mark.parametrize(
    "alg", ["none", "nOnE", "HS256", "ES256", "RS256", "ed25519", ["Ed25519"], {"alg": "Ed25519"}, 1, "Ed25519 "]
)
def test_algorithm(shared: Desks, alg: object) -> None:
    """Any algorithm but Ed25519 and EdDSA is refused."""
    assert_refused(shared, sign_changed(shared.session(ISSUER), alg=alg), (400, "malformed-line", "alg"))


def test_algorithm_missing(shared: Desks) -> None:
    """A header without an algorithm is refused."""
    assert_refused(shared, sign_changed(shared.session(ISSUER), alg=None), (400, "malformed-line", "alg"))


def test_algorithm_keyed_with_the_public_key(shared: Desks) -> None:
    """An HMAC keyed with the public key is no signature."""
    session = shared.session(ISSUER)
    head = b64u(json.dumps(header_of(session, alg="HS256")).encode())
    signing_input = f"{head}.{b64u(canonical(PAYLOAD))}".encode()
    mac = hmac.digest(session.identity.key.public, signing_input, "sha512")
    raw = signing_input + b"." + b64u(mac).encode()

    assert_refused(shared, raw, (400, "malformed-line", "alg"))


def test_older_name_of_the_algorithm(shared: Desks) -> None:
    """EdDSA, the older name of Ed25519, is taken."""
    answer = shared.post(sign_changed(shared.session(ISSUER), alg="EdDSA"))

    assert 201 == answer.status_code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwk", jwk(STRANGER.public)),
        ("jku", "https://keys.example/set.json"),
        ("x5u", "https://keys.example/chain.pem"),
        ("x5c", ["MIIB"]),
        ("crit", ["exp"]),
        ("crit", []),
        ("crit", ["alg"]),
        ("b64", False),
        ("zip", "DEF"),
        ("cty", "JWT"),
        ("scope", "admin"),
        ("unheard-of", 1),
    ],
)
def test_foreign_header_member(shared: Desks, name: str, value: object) -> None:
    """A header member outside the closed set is refused by name."""
    assert_refused(shared, sign_changed(shared.session(ISSUER), **{name: value}), (400, "malformed-line", name))


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", 7, "A" * 44, "A" * 42, "A" * 42 + "B"])
def test_malformed_key_id(shared: Desks, kid: object) -> None:
    """A key id that is no thumbprint is refused before anything is looked up."""
    assert_refused(shared, sign_changed(shared.session(ISSUER), kid=kid), (400, "malformed-line", "kid"))


def test_key_of_another_agency(shared: Desks) -> None:
    """A valid key under another agency's name is as unknown as none."""
    line = shared.bulletin(ISSUER, [READER], iss="sg-police")

    assert_refused(shared, line.raw, (403, "unknown-key", "kid"))


def test_key_id_of_another_agency(shared: Desks) -> None:
    """The key id of another agency with one's own name is unknown."""
    line = shared.bulletin(ISSUER, [READER], kid=shared.session(READER).identity.key.kid)

    assert_refused(shared, line.raw, (403, "unknown-key", "kid"))


def test_unknown_key(shared: Desks) -> None:
    """A key nobody enrolled is refused."""
    line = shared.session(ISSUER).sign_line(
        BULLETIN, canonical(PAYLOAD), key=STRANGER, **sound_members(shared.session(ISSUER))
    )

    assert_refused(shared, line.raw, (403, "unknown-key", "kid"))


def sound_members(session: Session) -> dict[str, Any]:
    """Return the members that `Session.sign_line` does not fill in."""
    members = header_of(session)
    return {name: members[name] for name in ("exp", "kind", "topic", "tlp", "release_to", "urgency")}


def json_faults() -> dict[str, Any]:
    """Return ways to break the JSON of a header, each as a function of its text."""
    return {
        "duplicate": lambda text: text.replace('"kind":', '"kind":"rfi","kind":', 1),
        "duplicate-escaped": lambda text: text.replace('"kind":', '"k\\u0069nd":"rfi","kind":', 1),
        "byte-order-mark": lambda text: "\ufeff" + text,
        "nan": lambda text: text.replace('"kind":', '"urgency":NaN,"kind":', 1),
        "float": lambda text: text.replace('"iat": ', '"iat": 1.0e0', 1),
        "fraction": lambda text: text.replace('"iat": ', '"iat": 0.', 1),
        "long-integer": lambda text: text.replace('"iat": ', '"iat": ' + "9" * 3_000, 1),
        "trailing-data": lambda text: text + "{}",
        "array": lambda text: f"[{text}]",
        "text": lambda _text: '"header"',
        "empty": lambda _text: "",
        "deep": lambda text: text[:-1] + ', "refs": ' + "[" * 1_200 + "]" * 1_200 + "}",
        "nul": lambda text: text.replace("alert", "alert\\u0000", 1),
        "lone-surrogate": lambda text: text.replace("alert", "alert\\ud800", 1),
        "large": lambda text: text[:-1] + " " * 4_100 + "}",
    }


@pytest.mark.parametrize("fault", json_faults().values(), ids=json_faults())
def test_json_of_the_header(shared: Desks, fault: Any) -> None:
    """Every way to make JSON ambiguous or huge is refused as malformed."""
    session = shared.session(ISSUER)
    raw = sign_raw(session, fault(json.dumps(header_of(session))).encode())

    answer = attempt(shared, raw)

    assert (400, "malformed-line") == problem_of(answer)[:2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_encoding_of_the_header(shared: Desks, encoding: str) -> None:
    """A header in another encoding than UTF-8 is refused."""
    session = shared.session(ISSUER)
    raw = sign_raw(session, json.dumps(header_of(session)).encode(encoding))

    assert_refused(shared, raw, (400, "malformed-line", None))


def test_bad_utf8(shared: Desks) -> None:
    """A header with a broken UTF-8 sequence is refused."""
    session = shared.session(ISSUER)
    raw = sign_raw(session, json.dumps(header_of(session)).encode().replace(b"alert", b"al\xc3rt"))

    assert_refused(shared, raw, (400, "malformed-line", None))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "my-\u0440olice"),
        ("iss", "my-polic\u0065\u0301"),
        ("iss", "my-polic\u00e9"),
        ("iss", "\u202emy-police"),
        ("iss", "MY-police"),
        ("iss", "my-police."),
        ("iss", "my-police\n"),
        ("topic", "cyber.sc\u0430m"),
        ("topic", "Cyber.scam"),
        ("topic", "cyber.scam."),
        ("topic", "*"),
        ("aud", "LINTAS.example-aaaaaaaa"),
        ("tlp", "amber"),
        ("release_to", ["sg-fiu", "sg-fiu"]),
        ("release_to", ["th-cert", "sg-fiu"]),
        ("release_to", []),
        ("release_to", ["*"]),
        ("release_to", ["my-police"]),
        ("release_to", "sg-fiu"),
        ("refs", []),
        ("refs", ["recalls:../x"]),
        ("refs", [f"replaces:{UNKNOWN_ID}"]),
        ("iat", -1),
        ("iat", "now"),
        ("iat", True),
        ("exp", None),
        ("enc", "jwe"),
    ],
)
def test_header_value(shared: Desks, name: str, value: object) -> None:
    """A value outside its pattern is refused by the name of its member."""
    assert_refused(shared, sign_changed(shared.session(ISSUER), **{name: value}), (400, "malformed-line", name))


def line_faults() -> dict[str, Any]:
    """Return ways to misspell a line, each as a function of its three parts."""
    return {
        "padding": lambda head, body, sig: f"{head}=.{body}.{sig}",
        "plus": lambda head, body, sig: f"{head}.{body[:-4]}+/+/.{sig}",
        "inner-space": lambda head, body, sig: f"{head}.{body[:8]} {body[8:]}.{sig}",
        "inner-newline-in-header": lambda head, body, sig: f"{head[:8]}\r\n{head[8:]}.{body}.{sig}",
        "length": lambda head, body, sig: f"{head}.{'A' * (len(body) // 4 * 4 + 1)}.{sig}",
        "four-parts": lambda head, body, sig: f"{head}.{body}.{sig}.{sig}",
        "five-parts": lambda head, body, sig: f"{head}.{body}.{sig}.{sig}.{sig}",
        "two-parts": lambda head, body, _sig: f"{head}.{body}",
        "no-signature": lambda head, body, _sig: f"{head}.{body}.",
        "short-signature": lambda head, body, sig: f"{head}.{body}.{sig[:-2]}",
        "long-signature": lambda head, body, sig: f"{head}.{body}.{sig}AA",
        "flattened": lambda head, body, sig: json.dumps({"protected": head, "payload": body, "signature": sig}),
        "general": lambda head, body, sig: json.dumps(
            {"payload": body, "signatures": [{"protected": head, "signature": sig}]}
        ),
        "no-bytes": lambda _head, _body, _sig: "",
        "leading-space": lambda head, body, sig: f" {head}.{body}.{sig}",
        "two-newlines": lambda head, body, sig: f"{head}.{body}.{sig}\n\n",
        "carriage-return": lambda head, body, sig: f"{head}.{body}.{sig}\r\n",
    }


@pytest.mark.parametrize("fault", line_faults().values(), ids=line_faults())
def test_spelling_of_the_line(shared: Desks, fault: Any) -> None:
    """A line that is not spelt in the one right way is refused."""
    raw = fault(*shared.bulletin(ISSUER, [READER]).raw.decode().split(".")).encode()

    answer = attempt(shared, raw)

    assert (400, "malformed-line") == problem_of(answer)[:2]


def test_unused_bits(shared: Desks) -> None:
    """A signature part with an unused bit set is refused, though it decodes to the same bytes."""
    raw = bytearray(shared.bulletin(ISSUER, [READER]).raw)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    raw[-1] = ord(alphabet[alphabet.index(chr(raw[-1])) + 1])

    assert_refused(shared, bytes(raw), (400, "malformed-line", "signature"))


def test_detached_payload(shared: Desks) -> None:
    """A line whose payload was cut out does not verify."""
    head, _, sig = shared.bulletin(ISSUER, [READER]).raw.split(b".")

    assert_refused(shared, b".".join((head, b"", sig)), (403, "bad-signature", "signature"))


def test_one_line_feed_is_framing(shared: Desks) -> None:
    """A single line feed after the line is not part of it."""
    line = shared.bulletin(ISSUER, [READER])

    answer = shared.post(line.raw + b"\n")

    assert (201, f'"{line.id}"') == (answer.status_code, answer.headers["etag"])


def signature_faults() -> dict[str, Any]:
    """Return ways to forge 64 bytes of signature."""
    order = ed25519.L if hasattr(ed25519, "L") else 2**252 + 27742317777372353535851937790883648493
    return {
        "zero": lambda _sig: bytes(64),
        "s-plus-order": lambda sig: sig[:32] + (int.from_bytes(sig[32:], "little") + order).to_bytes(32, "little"),
        "flipped": lambda sig: sig[:10] + bytes([sig[10] ^ 1]) + sig[11:],
        "identity": lambda sig: b"\x01" + bytes(31) + sig[32:],
        "small-order": lambda _sig: b"\x01" + bytes(31) + bytes(32),
    }


@pytest.mark.parametrize("fault", signature_faults().values(), ids=signature_faults())
def test_forged_signature(shared: Desks, fault: Any) -> None:
    """A signature that strict Ed25519 does not accept is refused."""
    line = shared.bulletin(ISSUER, [READER])
    raw = line.signing_input + b"." + b64u(fault(line.signature)).encode()

    assert_refused(shared, raw, (403, "bad-signature", "signature"))


@pytest.mark.parametrize(
    "public",
    [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\xed" + b"\xff" * 30 + b"\x7f"],
    ids=["zero", "one", "high", "p"],
)
def test_weak_key(shared: Desks, public: bytes) -> None:
    """A key of small order or not canonical is refused at enrolment."""
    session = shared.session(ISSUER)
    thumbprint = b64u(hashlib.sha256(canonical(jwk(public))).digest())
    window = session.key_window(STRANGER, "desk") | {"jwk": jwk(public)}
    payload = canonical({"act": "enrol", **window, "invite": UNKNOWN_ID, "code_hmac": UNKNOWN_ID})
    members = {
        "typ": KEY,
        "kid": thumbprint,
        "iss": "xx-police",
        "aud": session.identity.hub.name,
        "iat": session.now(),
    }
    raw = sign_raw(session, json.dumps({"alg": "Ed25519", **members}).encode(), payload)

    answer = attempt(shared, raw, KEY)

    assert (422, "weak-key") == problem_of(answer)[:2]


@pytest.mark.parametrize(
    "changes",
    [{"tlp": "GREEN"}, {"topic": "drugs"}, {"release_to": ["sg-fiu", "sg-police"]}, {"exp": 90_000}],
)
def test_edited_header(shared: Desks, changes: dict[str, Any]) -> None:
    """A header edited on the way does not verify."""
    session = shared.session(ISSUER)
    changes = {name: session.now() + value if name == "exp" else value for name, value in changes.items()}
    _, body, sig = sign_changed(session).split(b".")
    edited = b64u(json.dumps(header_of(session, **changes)).encode()).encode()

    assert_refused(shared, b".".join((edited, body, sig)), (403, "bad-signature", "signature"))


def test_swapped_payload(shared: Desks) -> None:
    """A payload moved to another line does not verify."""
    head, _, sig = shared.bulletin(ISSUER, [READER]).raw.split(b".")
    other = shared.bulletin(ISSUER, [READER], payload=canonical(PAYLOAD | {"title": "another"})).raw.split(b".")[1]

    assert_refused(shared, b".".join((head, other, sig)), (403, "bad-signature", "signature"))


def test_token_as_bulletin(shared: Desks) -> None:
    """A read token is no bulletin."""
    assert_refused(shared, shared.session(ISSUER).token().encode(), (400, "wrong-type", "typ"))


def test_bulletin_as_token(shared: Desks) -> None:
    """A bulletin is no read token."""
    raw = shared.bulletin(ISSUER, [READER]).raw.decode()

    answer = shared.get("/v1/bulletins", Authorization=f"Bearer {raw}")

    assert (401, "unauthorized", None) == problem_of(answer)


def test_key_line_as_order(shared: Desks) -> None:
    """A key line is no order."""
    raw = shared.session(REGISTRAR).sign_revocation("unspecified", 0).raw

    assert_refused(shared, raw, (400, "wrong-type", "typ"), ORDER)


def test_order_as_key_line(shared: Desks) -> None:
    """An order is no key line."""
    raw = shared.session(REGISTRAR).sign_order("resume", {"agency": ISSUER}).raw

    assert_refused(shared, raw, (400, "wrong-type", "typ"), KEY)


def test_order_as_bulletin(shared: Desks) -> None:
    """An order is no bulletin."""
    raw = shared.session(REGISTRAR).sign_order("resume", {"agency": ISSUER}).raw

    assert_refused(shared, raw, (400, "wrong-type", "typ"))


def test_order_of_an_agency(shared: Desks) -> None:
    """An agency gives no administrator's order, and the attempt is its event."""
    line = shared.session(ISSUER).sign_order("ceiling", {"agency": ISSUER, "tlp": "RED"})

    answer = attempt(shared, line.raw, ORDER)

    assert (403, "not-allowed", "iss") == problem_of(answer)
    assert [ISSUER] == [event.party for event in shared.events(kind="order.refused", object=line.id)]


def replays() -> dict[str, tuple[dict[str, Any], tuple[int, str, str]]]:
    """Return header changes relative to now, and what is answered."""
    return {
        "stale": ({"iat": -86_401 - 60}, (422, "stale", "iat")),
        "future": ({"iat": 121 + 60}, (422, "from-the-future", "iat")),
        "expired": ({"exp": -1}, (422, "expired", "exp")),
        "foreign": ({"aud": "lintas.example-aaaaaaaa"}, (422, "foreign-line", "aud")),
    }


@pytest.mark.parametrize(("changes", "expected"), replays().values(), ids=replays())
def test_replay(shared: Desks, changes: dict[str, Any], expected: tuple[int, str, str]) -> None:
    """A line of another day or another hub is refused, and logged for its issuer."""
    now = shared.session(ISSUER).now()
    moved = {name: now + value if isinstance(value, int) else value for name, value in changes.items()}

    assert_refused_and_logged(shared, shared.bulletin(ISSUER, [READER], **moved), expected)


@pytest.mark.parametrize(
    ("to", "changes", "expected"),
    [
        (["xx-police"], {}, (422, "unknown-recipient", "release_to")),
        ([READER], {"tlp": "RED"}, (422, "red-needs-sealing", "tlp")),
        ([READER], {"enc": "hpke", "tlp": "RED", "payload": b"sealed"}, (400, "malformed-payload", None)),
        ([READER], {"refs": [f"answers:{UNKNOWN_ID}"], "kind": "answer"}, (422, "ref-unavailable", "refs")),
        ([READER], {"payload": b"not json"}, (400, "malformed-payload", None)),
        ([READER], {"payload": b"{}"}, (400, "malformed-payload", "summary")),
    ],
)
def test_refused_by_policy(
    shared: Desks, to: list[str], changes: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    """What policy or the schema refuses names its member, and is logged for its issuer."""
    assert_refused_and_logged(shared, shared.bulletin(ISSUER, to, **changes), expected)


def test_refusal_is_logged_once(shared: Desks) -> None:
    """Captured bytes that are sent again and again fill no log: one event, the rest is counted."""
    line = shared.bulletin(ISSUER, ["xx-police"])
    answers = [shared.post(line) for _ in range(3)]

    assert [(422, "unknown-recipient", "release_to")] * 3 == [problem_of(answer) for answer in answers]
    assert 1 == len(shared.events(kind="bulletin.refused", object=line.id))


def test_bulletin_of_an_administrator(shared: Desks) -> None:
    """An administrator publishes no bulletins."""
    assert_refused_and_logged(shared, shared.bulletin(REGISTRAR, [READER]), (403, "not-allowed", "iss"))


def test_payload_fault_of_one_without_the_right(shared: Desks) -> None:
    """Policy speaks before the schema: one who may not publish learns nothing of its payload."""
    line = shared.bulletin(ISSUER, ["xx-police"], payload=b"not json")

    assert_refused_and_logged(shared, line, (422, "unknown-recipient", "release_to"))


def test_references_look_alike(shared: Desks) -> None:
    """A target that is unknown, unreadable or another's gives one identical problem, whoever is addressed."""
    hidden = shared.publish(ISSUER, [READER])
    session = shared.session(OUTSIDER)
    bodies = {
        shared.post(shared.bulletin(OUTSIDER, to, refs=[f"{relation}:{target}"], kind=kind)).content
        for target in (hidden.id, UNKNOWN_ID)
        for to in ([READER], ["xx-police"])
        for relation, kind in (("answers", "answer"), ("recalls", "recall"), ("supersedes", "alert"))
    }

    assert 1 == len(bodies)
    assert b"ref-unavailable" in bodies.pop()
    assert 12 == len(shared.events(kind="bulletin.refused", party=session.party, text=OUTSIDER))


def test_recall_of_anothers(shared: Desks) -> None:
    """One who received a bulletin cannot recall it."""
    line = shared.publish(ISSUER, [READER])

    refused = shared.post(shared.recall(READER, line.id, [OUTSIDER]))

    assert (422, "ref-unavailable", "refs") == problem_of(refused)
    assert 200 == shared.get(f"/v1/bulletins/{line.id}", READER).status_code


def test_topic_beyond_the_grant(desks: Desks) -> None:
    """A topic that was not granted is refused and logged."""
    desks.order("grant", agency=ISSUER, publish=["maritime"], read=["*"])

    assert_refused_and_logged(desks, desks.bulletin(ISSUER, [READER]), (403, "topic-not-granted", "topic"))


def test_marking_beyond_the_ceiling(desks: Desks) -> None:
    """A marking above the ceiling is refused and logged."""
    desks.order("ceiling", agency=ISSUER, tlp="GREEN")

    assert_refused_and_logged(desks, desks.bulletin(ISSUER, [READER]), (403, "tlp-above-ceiling", "tlp"))


def test_revoked_key(desks: Desks) -> None:
    """A revoked key publishes nothing more, and the attempt is logged."""
    session = desks.session(ISSUER)
    desks.post(session.sign_revocation("cessationOfOperation", session.now()), KEY)

    assert_refused_and_logged(desks, desks.bulletin(ISSUER, [READER]), (403, "key-not-active", "kid"))


def test_expired_key(desks: Desks) -> None:
    """A key whose window is over publishes nothing more."""
    desks.clock.advance(366 * 86_400)

    assert_refused_and_logged(desks, desks.bulletin(ISSUER, [READER]), (403, "key-not-active", "kid"))


def assert_looks_unknown(desks: Desks, path: str, line_id: str, **headers: str) -> None:
    """Demand that one without access sees of this id what is seen of no id: status, body, headers."""
    found = desks.get(
        path.format(line_id), OUTSIDER, **{name: value.format(line_id) for name, value in headers.items()}
    )
    unknown = desks.get(
        path.format(UNKNOWN_ID), OUTSIDER, **{name: value.format(UNKNOWN_ID) for name, value in headers.items()}
    )

    assert (unknown.status_code, unknown.content) == (found.status_code, found.content)
    assert_same_headers(unknown, found)


def assert_same_headers(one: httpx.Response, other: httpx.Response) -> None:
    """Demand the same headers but for the date, and the random name of the request in the process's log."""
    shown = [
        sorted((name, value) for name, value in each.headers.items() if name not in ("date", "lintas-request"))
        for each in (one, other)
    ]
    assert shown[0] == shown[1]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/bulletins/{}", {}),
        ("/v1/bulletins/{}/receipt", {}),
        ("/v1/bulletins/{}", {"If-None-Match": '"{}"'}),
    ],
)
def test_unreleased_looks_unknown(shared: Desks, path: str, headers: dict[str, str]) -> None:
    """A bulletin one may not read answers exactly like one that does not exist."""
    line = shared.publish(ISSUER, [READER])

    assert_looks_unknown(shared, path, line.id, **headers)
    assert (404, "not-found", None) == problem_of(shared.get(path.format(line.id), OUTSIDER))


def test_recalled_but_unreleased_looks_unknown(shared: Desks) -> None:
    """That a bulletin was recalled is told only to those who had it."""
    line = shared.publish(ISSUER, [READER])
    assert 201 == shared.post(shared.recall(ISSUER, line.id, [READER])).status_code

    assert_looks_unknown(shared, "/v1/bulletins/{}", line.id)
    assert (410, "recalled", None) == problem_of(shared.get(f"/v1/bulletins/{line.id}", READER))


def test_filter_by_an_unreleased_reference(shared: Desks) -> None:
    """Asking for what refers to an unreleased bulletin looks like asking for an unknown one."""
    line = shared.publish(ISSUER, [READER])
    shared.publish(ISSUER, [READER], refs=[f"comments:{line.id}"], kind="comment")

    assert [] == shared.rows(f"/v1/bulletins?ref={line.id}", OUTSIDER)
    assert [] == shared.rows(f"/v1/bulletins?ref={UNKNOWN_ID}", OUTSIDER)
    assert 1 == len(shared.rows(f"/v1/bulletins?ref={line.id}", READER))


def test_cursor_beside_an_unreleased(shared: Desks) -> None:
    """Paging around the place of an unreleased bulletin shows nothing of it."""
    line = shared.publish(ISSUER, [READER])
    [accepted] = shared.events(kind="bulletin.accepted", object=line.id)

    assert [] == [
        row
        for row in shared.rows(f"/v1/bulletins?after={accepted.seq - 1}&limit=1", OUTSIDER)
        if row["seq"] == accepted.seq
    ]


def test_another_kind_of_line_looks_unknown(shared: Desks) -> None:
    """The id of a key line or an order is no bulletin."""
    [approved, *_] = shared.events(kind="key.approved")

    answer = shared.get(f"/v1/bulletins/{approved.object}", OUTSIDER)
    unknown = shared.get(f"/v1/bulletins/{UNKNOWN_ID}", OUTSIDER)

    assert (404, unknown.content) == (answer.status_code, answer.content)


def test_parallel_posts_of_one_line(shared: Desks) -> None:
    """Fifty posts of the same line at once make one entry and give one receipt."""
    line = shared.bulletin(ISSUER, [READER])

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _number: shared.post(line), range(50)))

    assert [200] * 49 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.content for answer in answers})
    assert 1 == len(shared.events(kind="bulletin.accepted", object=line.id))
    assert 1 == len(
        [row for row in shared.rows("/v1/bulletins?limit=1000", READER) if row.get("line") == line.raw.decode()]
    )


def test_publishing_races_revocation(desks: Desks) -> None:
    """Whichever is logged first decides: nothing of a key is accepted behind its revocation."""
    session = desks.session(ISSUER)
    posts = [desks.bulletin(ISSUER, [READER], exp=session.now() + 1_000 + number) for number in range(60)]
    revocation = session.sign_revocation("unspecified", session.now())

    def act(number: int) -> int:
        return (desks.post(revocation, KEY) if number == 30 else desks.post(posts[number])).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(act, range(60)))

    [revoked] = desks.events(kind="key.revoked")
    accepted = desks.events(kind="bulletin.accepted", party=ISSUER)
    assert statuses.count(201) == len(accepted) + 1
    assert all(event.seq < revoked.seq for event in accepted)
    assert statuses.count(403) == len(desks.events(kind="bulletin.refused", party=ISSUER)) == 59 - len(accepted)


def test_late_retry_of_an_accepted_line(desks: Desks) -> None:
    """Long after, with the key revoked, the bytes of an accepted line still get their receipt."""
    line = desks.publish(ISSUER, [READER])
    first = desks.post(line)
    session = desks.session(ISSUER)
    desks.post(session.sign_revocation("unspecified", session.now()), KEY)
    desks.clock.advance(20 * 86_400)

    again = desks.post(line)

    assert (200, first.content) == (again.status_code, again.content)
    assert line.id == json.loads(parse_receipt(again.content).extra or b"")["object"]


def tokens() -> dict[str, dict[str, Any]]:
    """Return changes that make a token unfit; times are relative to now."""
    return {
        "expired": {"iat": -200, "exp": -1},
        "future": {"iat": 200, "exp": 400},
        "long": {"iat": 0, "exp": 301},
        "backwards": {"iat": 0, "exp": 0},
    }


@pytest.mark.parametrize("times", tokens().values(), ids=tokens())
def test_token_times(shared: Desks, times: dict[str, int]) -> None:
    """A token that is expired, of the future or longer than 300 seconds reads nothing."""
    session = shared.session(READER)
    moved: dict[str, Any] = {name: session.now() + value for name, value in times.items()}
    token = session.sign_line(TOKEN, b"", scope="read", **moved).raw.decode()

    answer = shared.get("/v1/bulletins", Authorization=f"Bearer {token}")

    assert (401, "unauthorized", None) == problem_of(answer)
    assert "Bearer" == answer.headers["www-authenticate"]


def test_basic_authentication(shared: Desks) -> None:
    """No other scheme than a bearer token reads anything."""
    answer = shared.get("/v1/bulletins", Authorization="Basic " + base64.b64encode(b"a:b").decode())

    assert (401, "unauthorized", None) == problem_of(answer)
