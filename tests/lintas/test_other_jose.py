"""Lines of ours opened by two other JOSE libraries, and lines of theirs opened by us.

A general library verifies our lines; only ours decides which lines are lines.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]
from jwcrypto.jws import JWS  # type: ignore[import-untyped]

from lintas.errors import BadSignature, MalformedLine
from lintas.header import BULLETIN
from lintas.jwk import jwk
from lintas.keys import SigningKey
from lintas.line import check, line_id, parse, sign
from lintas.strict import b64u, unb64u

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

PAYLOAD = b'{"title":"x"}'
ALGORITHMS = ["Ed25519", "EdDSA"]


def header(key: SigningKey, **other: Any) -> dict[str, Any]:
    """Return the header of a bulletin."""
    return {
        "alg": "Ed25519",
        "typ": BULLETIN,
        "kid": key.kid,
        "iss": "my-police",
        "aud": "exercise.lintas.example-k3v9q2xa",
        "iat": 1_795_467_600,
        "exp": 1_798_059_600,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "release_to": ["sg-fiu"],
        "urgency": "urgent",
        **other,
    }


# joserfc warns of the older name; that both mean the same here is the point of the test.
older_name = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


def registry() -> jws.JWSRegistry:
    """Return a registry that knows our algorithm names and lets our members pass."""
    return jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)


def private(key: SigningKey) -> dict[str, str]:
    """Return the private key as these libraries take it."""
    return {**jwk(key.public), "d": b64u(key.seed)}


@older_name
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_joserfc_opens_ours(ledger: Ledger, alg: str) -> None:
    """Joserfc verifies a line of ours and reads the same header and payload."""
    key = ledger.key("my-police")
    line = parse(sign(header(key, alg=alg), PAYLOAD, key))

    found = jws.deserialize_compact(line.raw, OKPKey.import_key(dict(jwk(key.public))), registry=registry())

    assert (header(key, alg=alg), PAYLOAD) == (found.headers(), found.payload)


@older_name
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_joserfc_makes_ours(ledger: Ledger, alg: str) -> None:
    """A line made by joserfc with our header is a line, and byte for byte ours."""
    key = ledger.key("my-police")
    made = jws.serialize_compact(
        header(key, alg=alg), PAYLOAD, OKPKey.import_key(dict(private(key))), registry=registry()
    )

    line = parse(made.encode(), BULLETIN)

    check(line, key.public)
    assert (PAYLOAD, line_id(made.encode())) == (line.payload, line.id)


def test_jwcrypto_opens_ours(ledger: Ledger) -> None:
    """Jwcrypto verifies a line of ours under the older name of the algorithm."""
    key = ledger.key("my-police")
    line = parse(sign(header(key, alg="EdDSA"), PAYLOAD, key))
    found = JWS()

    found.deserialize(line.raw.decode(), JWK(**jwk(key.public)))

    assert (header(key, alg="EdDSA"), PAYLOAD) == (json.loads(found.objects["protected"]), found.payload)


def test_jwcrypto_makes_ours(ledger: Ledger) -> None:
    """A line made by jwcrypto with our header is a line."""
    key = ledger.key("my-police")
    made = JWS(PAYLOAD)
    made.add_signature(JWK(**private(key)), protected=json.dumps(header(key, alg="EdDSA")))

    line = parse(made.serialize(compact=True).encode(), BULLETIN)

    check(line, key.public)
    assert PAYLOAD == line.payload


def test_thumbprints_agree(ledger: Ledger) -> None:
    """Three implementations of RFC 7638 give one kid."""
    key = ledger.key("my-police")

    assert [key.kid] * 2 == [JWK(**jwk(key.public)).thumbprint(), OKPKey.import_key(dict(jwk(key.public))).thumbprint()]


@older_name
def test_all_refuse_a_changed_line(ledger: Ledger) -> None:
    """A changed payload is refused by all three."""
    key = ledger.key("my-police")
    head, _, signature = parse(sign(header(key, alg="EdDSA"), PAYLOAD, key)).raw.split(b".")
    raw = b".".join((head, b64u(b"{}").encode(), signature))

    with pytest.raises(BadSignature):
        check(parse(raw), key.public)
    with pytest.raises(Exception, match="Signature"):
        JWS().deserialize(raw.decode(), JWK(**jwk(key.public)))
    with pytest.raises(Exception, match="signature"):
        jws.deserialize_compact(raw, OKPKey.import_key(dict(jwk(key.public))), registry=registry())


def test_why_lines_are_not_opened_by_a_general_library(ledger: Ledger) -> None:
    """A duplicate member that a general library passes is refused by ours."""
    key = ledger.key("my-police")
    text = json.dumps(header(key, alg="EdDSA")).encode()
    signing_input = b".".join(b64u(part).encode() for part in (text[:-1] + b', "tlp": "GREEN"}', PAYLOAD))
    raw = signing_input + b"." + b64u(key.sign(signing_input)).encode()
    found = JWS()

    found.deserialize(raw.decode(), JWK(**jwk(key.public)))

    assert unb64u(raw.split(b".")[1].decode()) == found.payload
    with pytest.raises(MalformedLine, match="duplicate"):
        parse(raw)
