"""Sealed bulletins over HTTP: what the hub takes, what it refuses, what it shows of keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lintas.header import KEY
from lintas.keys import fresh_content_key, fresh_opening
from lintas.line import Line, make_head, parse, sign_under
from lintas.opening import OpeningKey
from lintas.sealed import read_sealed, seal
from lintas.strict import b64u, canonical
from tests.broker.conftest import FEW, REGISTRAR, Desks, problem_of

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
CONTENT = canonical(
    {
        "title": "Fictional",
        "summary": "FICTIONAL.",
        "named_recipients": ["sg-fiu/duty-officer"],
        "marking_reason": "FICTIONAL. The source is in danger.",
    }
)


def opening(desks: Desks, party: str) -> OpeningKey:
    """Return the opening key that a party was enrolled with."""
    return desks.session(party).identity.openings[-1]


def keys_of(desks: Desks, *parties: str) -> dict[str, bytes]:
    """Return the public opening keys of parties by kid."""
    return {key.kid: key.public for key in (opening(desks, party) for party in parties)}


def sealed(
    desks: Desks, to: Mapping[str, bytes], *, payload: Callable[[bytes], bytes] = bytes, **changes: Any
) -> bytes:
    """Sign a RED bulletin of the issuer to the reader, sealed to any keys, its payload changed on the way."""
    session = desks.session(ISSUER)
    members = {
        "exp": session.now() + 86_400,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "RED",
        "release_to": [READER],
        "urgency": "routine",
        "enc": "hpke",
    }
    header = session._header("vnd.lintas.bulletin", members | changes)
    head = make_head(header, session.identity.key)
    closed = seal(CONTENT, head=head, to=to, content_key=fresh_content_key())
    return sign_under(head, payload(closed), session.identity.key)


def tell(desks: Desks, party: str, key: OpeningKey) -> Line:
    """Tell a new opening key of a party; it must be accepted."""
    line = desks.session(party).sign_opening(key)
    answer = desks.post(line, KEY)
    assert 201 == answer.status_code, answer.text
    return line


def test_accepted(desks: Desks) -> None:
    """Sealed RED is accepted, recorded and delivered byte for byte to whom it names."""
    raw = sealed(desks, keys_of(desks, ISSUER, READER))

    answer = desks.post(raw)

    assert 201 == answer.status_code
    assert [raw.decode()] == [row["line"] for row in desks.rows("/v1/bulletins", READER)]
    assert ([], 404) == (desks.rows("/v1/bulletins", OTHER), desks.get(answer.headers["location"], OTHER).status_code)


def test_same_line_again(desks: Desks) -> None:
    """A line that was accepted is answered with its receipt, also when keys were renewed since."""
    raw = sealed(desks, keys_of(desks, ISSUER, READER))
    first = desks.post(raw)
    tell(desks, READER, fresh_opening())

    again = desks.post(raw)

    assert (201, 200, first.content) == (first.status_code, again.status_code, again.content)


@pytest.mark.parametrize(
    ("parties", "expected"),
    [
        ((ISSUER,), (422, "wrong-opening-keys", "to")),
        ((READER,), (422, "wrong-opening-keys", "to")),
        ((ISSUER, READER, OTHER), (422, "wrong-opening-keys", "to")),
    ],
)
def test_sealed_to_others(desks: Desks, parties: tuple[str, ...], expected: tuple[int, str, str]) -> None:
    """A key too few or too many is refused, and logged for the issuer."""
    raw = sealed(desks, keys_of(desks, *parties))

    assert expected == problem_of(desks.post(raw))
    assert [{"code": expected[1], "member": expected[2]}] == desks.details(kind="bulletin.refused", party=ISSUER)


def test_renewal_races_a_bulletin(desks: Desks) -> None:
    """The key that was current when it was sealed counts no more once a newer one is in the log."""
    raw = sealed(desks, keys_of(desks, ISSUER, READER))
    tell(desks, READER, fresh_opening())

    answer = desks.post(raw)

    assert (422, "wrong-opening-keys", "to") == problem_of(answer)
    assert READER in answer.json()["detail"]


def test_no_current_key(desks: Desks) -> None:
    """A recipient whose key is over is named."""
    keys = keys_of(desks, ISSUER, READER)
    desks.clock.advance(91 * 86_400)
    fresh = fresh_opening()
    tell(desks, ISSUER, fresh)

    answer = desks.post(sealed(desks, {**keys_of(desks, READER), fresh.kid: fresh.public}))

    assert (422, "no-opening-key", "release_to") == problem_of(answer)
    assert (READER in answer.json()["detail"], 2) == (True, len(keys))


def replaced(**members: Any) -> Callable[[bytes], bytes]:
    """Replace members of a sealed payload."""
    return lambda payload: canonical(json.loads(payload) | members)


@pytest.mark.parametrize(
    ("payload", "member"),
    [
        (replaced(ct=b64u(bytes(1000))), "ct"),
        (replaced(kc="short"), "kc"),
        (replaced(note="x"), "note"),
        (replaced(to={}), "to"),
        (lambda _payload: CONTENT, "ct"),
    ],
    ids=["length", "commitment", "another member", "nobody", "clear content"],
)
def test_malformed(desks: Desks, payload: Callable[[bytes], bytes], member: str) -> None:
    """A sealed payload of another shape is refused with the member; clear content under a sealed header is one."""
    raw = sealed(desks, keys_of(desks, ISSUER, READER), payload=payload)

    assert (400, "malformed-payload", member) == problem_of(desks.post(raw))


def test_sealed_to_everyone(desks: Desks) -> None:
    """No header seals for every partner."""
    key = desks.session(ISSUER).identity.key
    head = b64u(
        canonical(
            desks.session(ISSUER)._header("vnd.lintas.bulletin", {"alg": "Ed25519", "kid": key.kid})
            | {"exp": 2_000_000_000, "kind": "alert", "topic": "cyber", "tlp": "GREEN", "release_to": ["*"]}
            | {"urgency": "routine", "enc": "hpke"}
        )
    )
    payload = seal(CONTENT, head=head, to=keys_of(desks, ISSUER), content_key=fresh_content_key())

    assert (400, "malformed-line", "release_to") == problem_of(desks.post(sign_under(head, payload, key)))


def test_sealed_recall_withdraws_the_whole(desks: Desks) -> None:
    """The hub sees no indicators in a sealed recall, so nothing of the original is left standing."""
    keys = keys_of(desks, ISSUER, READER)
    original = desks.post(sealed(desks, keys)).headers["etag"].strip('"')
    recall = desks.post(sealed(desks, keys, kind="recall", refs=[f"recalls:{original}"])).headers["etag"].strip('"')

    first, second = desks.rows("/v1/bulletins", READER)

    assert {"id": original, "state": "recalled", "by": recall} == {name: first[name] for name in ("id", "state", "by")}
    assert "line" in second


def test_told_key_is_proven(desks: Desks) -> None:
    """`GET /v1/keys` shows the event of an opening key, the line behind it and who is sealed to how."""
    line = tell(desks, READER, fresh := fresh_opening())

    found = desks.get("/v1/keys", OTHER).json()

    events = [event for event in found["events"] if json.loads(event["body"])["kind"] == "key.opening"]
    assert line.raw.decode() == events[-1]["line"]
    assert len(FEW) + 1 == len(events)
    assert {
        "agency": READER,
        "kid": fresh.kid,
        "public": b64u(fresh.public),
        "seq": events[-1]["seq"],
    } == {
        name: {each["agency"]: each for each in found["opening"]}[READER][name]
        for name in ("agency", "kid", "public", "seq")
    }


def test_key_refused(desks: Desks) -> None:
    """What may not be told is refused, and logged for its agency."""
    line = tell(desks, READER, fresh_opening())
    session = desks.session(OTHER)
    stolen = session.sign_line(KEY, line.payload)
    admin = desks.session(REGISTRAR).sign_opening(fresh_opening())

    assert (409, "order-conflict", "public") == problem_of(desks.post(stolen, KEY))
    assert (403, "not-allowed", "iss") == problem_of(desks.post(admin, KEY))
    assert [{"code": "order-conflict", "member": "public"}] == desks.details(kind="key.refused", party=OTHER)


def test_size_for_the_region(desks: Desks) -> None:
    """Sealed to each agency of the hub, an ordinary bulletin is far from the limit of a line."""
    others = [agency for agency in FEW if agency != ISSUER]
    raw = sealed(desks, keys_of(desks, *FEW), release_to=sorted(others))

    assert 201 == desks.post(raw).status_code
    assert len(FEW) == len(read_sealed(parse(raw).payload).to)
    assert len(raw) < 20_000
