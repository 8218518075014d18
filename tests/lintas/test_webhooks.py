"""Reading addresses strictly; opening calls that the hub signed."""

from __future__ import annotations

import base64

import pytest
from nacl.signing import SigningKey as OtherKey

from lintas.ed25519 import public_key_of
from lintas.errors import (
    BadRequest,
    BadSignature,
    FromTheFuture,
    LintasError,
    MalformedLine,
    MalformedPayload,
    Stale,
)
from lintas.webhooks import call_id, key_text, open_webhook, read_url, sign_call

SEED = bytes(range(32))
KEY = key_text(public_key_of(SEED))
NOW = 1_795_467_600
BODY = b'{"type":"webhook.challenge","challenge":"x"}'
HEADERS = sign_call(SEED, call="msg_1", time=NOW, body=BODY)


@pytest.mark.parametrize(
    "url",
    [
        "https://receiver.example/",
        "https://receiver.example",
        "https://a-1.receiver.example:8443/x/y;z=1?k=v&l=%2F",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1::1]:8443/",
        "https://xn--bcher-kva.example/",
        "http://localhost:8000/",
    ],
)
def test_address(url: str) -> None:
    """A plain address is read."""
    assert read_url(url).host in url


@pytest.mark.parametrize(
    "url",
    [
        *("", "receiver.example", "//receiver.example/", "ftp://receiver.example/", "HTTPS://receiver.example/"),
        *("https://", "https:///x", "https://:443/", "https://receiver.example:/", "https://receiver.example:0/"),
        *("https://receiver.example:65536/", "https://receiver.example:99999999999/", "https://receiver.example:1a/"),
        *("https://user@receiver.example/", "https://user:pass@receiver.example/", "https://a@b@receiver.example/"),
        *("https://receiver.example/#part", "https://receiver.example/ x", "https://receiver.example/\\x"),
        *(
            "https://receiver.example\\@evil.example/",
            "https://receiver.example/\r\nHost: x",
            "https://receiver.example/\n",
        ),
        *("https://Receiver.example/", "https://receiver.example./", "https://.example/", "https://a..example/"),
        *(
            "https://bücher.example/",
            "https://rec\u0435iver.example/",
            "https://receiver.example/ü",
            "https://a_b.example/",
        ),
        *("https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://1.2.3.4.5/"),
        *("https://[::1", "https://::1/", "https://[::1]x/", "https://[fe80::1%25eth0]/", "https://[127.0.0.1]/"),
        *(
            "https://receiver.example/%",
            "https://receiver.example/%zz",
            "https://-a.example/",
            f"https://{'a' * 64}.example/",
        ),
        f"https://receiver.example/{'a' * 500}",
        f"https://{'a.' * 128}example/",
    ],
)
def test_no_address(url: str) -> None:
    """Anything that two readers could take for two hosts, or that is no plain address, is refused."""
    with pytest.raises(MalformedPayload) as refusal:
        read_url(url)

    assert "url" == refusal.value.member


def test_open() -> None:
    """A call that the hub signed is opened, whatever the case of its headers."""
    call = open_webhook({name.title(): value for name, value in HEADERS.items()}, BODY, KEY, NOW + 300)

    assert ("msg_1", NOW, "webhook.challenge") == (call.id, call.time, call.members["type"])


def test_signed_by_another_implementation() -> None:
    """A call signed by an independent implementation is opened."""
    signature = OtherKey(SEED).sign(f"msg_1.{NOW}.".encode() + BODY).signature
    headers = HEADERS | {"webhook-signature": f"v1,AAAA v1a,{base64.b64encode(signature).decode()}"}

    assert "msg_1" == open_webhook(headers, BODY, KEY, NOW).id


@pytest.mark.parametrize(
    ("changes", "body", "error"),
    [
        ({}, BODY + b" ", BadSignature),
        ({"webhook-id": "msg_2"}, BODY, BadSignature),
        ({"webhook-timestamp": str(NOW + 1)}, BODY, BadSignature),
        ({"webhook-signature": ""}, BODY, BadSignature),
        ({"webhook-signature": HEADERS["webhook-signature"].replace("v1a", "v1")}, BODY, BadSignature),
        ({"webhook-signature": "v1a,@@@@"}, BODY, BadSignature),
        ({"webhook-signature": "v1a,ü"}, BODY, BadSignature),
        ({"webhook-signature": "v1a,AAAA " * 8 + HEADERS["webhook-signature"]}, BODY, BadSignature),
        ({"webhook-id": ""}, BODY, BadRequest),
        ({"webhook-id": "a.b"}, BODY, BadRequest),
        ({"webhook-timestamp": ""}, BODY, BadRequest),
        ({"webhook-timestamp": "+1"}, BODY, BadRequest),
        ({"webhook-timestamp": "9" * 400}, BODY, BadRequest),
    ],
)
def test_forged(changes: dict[str, str], body: bytes, error: type[LintasError]) -> None:
    """A call that was changed in any part, or not signed, is refused."""
    with pytest.raises(error):
        open_webhook(HEADERS | changes, body, KEY, NOW)


@pytest.mark.parametrize(("now", "error"), [(NOW + 301, Stale), (NOW - 301, FromTheFuture)])
def test_out_of_time(now: int, error: type[LintasError]) -> None:
    """A call that was kept and sent again later is refused, and one dated ahead."""
    with pytest.raises(error):
        open_webhook(HEADERS, BODY, KEY, now)


@pytest.mark.parametrize(("body", "error"), [(b"a.b", MalformedLine), (b'{"a":1,"a":2}', MalformedPayload)])
def test_strange_body(body: bytes, error: type[LintasError]) -> None:
    """A body that is neither a strict line nor a strict object is refused though it is signed."""
    with pytest.raises(error):
        open_webhook(sign_call(SEED, call="msg_1", time=NOW, body=body), body, KEY, NOW)


@pytest.mark.parametrize("key", ["", "whpk_", "whpk_AAAA", KEY.removeprefix("whpk_"), "whpk_@", "whpk_ü"])
def test_no_key(key: str) -> None:
    """What is no key of a hub is named as such."""
    with pytest.raises(BadRequest) as refusal:
        open_webhook(HEADERS, BODY, key, NOW)

    assert "key" == refusal.value.member


def test_call_id() -> None:
    """The id of a call depends on agency, subscription and subject, and on nothing else."""
    ids = [call_id(*each) for each in (("a", "s", "x"), ("b", "s", "x"), ("a", "t", "x"), ("a", "s", "y"))]

    assert 4 == len(set(ids))
    assert ids[0] == call_id("a", "s", "x")
