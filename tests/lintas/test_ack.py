"""The acknowledgement's payload: what it says, what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lintas.ack import Ack, is_at_least, open_ack
from lintas.errors import MalformedPayload
from lintas.header import ACK
from lintas.keys import SigningKey
from lintas.line import Line, parse, sign
from lintas.strict import canonical

ID = "A" * 43
KEY = SigningKey.from_seed(b"\1" * 32)


def line_of(payload: bytes) -> Line:
    """Sign a payload as an acknowledgement."""
    return parse(sign({"typ": ACK, "iss": "sg-fiu", "aud": "hub-aaaaaaaa", "iat": 1}, payload, KEY), ACK)


@pytest.mark.parametrize("ack", [Ack(ID, "opened"), Ack(ID, "acknowledged", 0), Ack(ID, "opened", 2**53 - 1)])
def test_opened_as_made(ack: Ack) -> None:
    """What was made is read again."""
    assert ack == open_ack(line_of(ack.payload()))


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"id": ID},
        {"id": ID, "state": "seen"},
        {"id": "x", "state": "opened"},
        {"id": ID, "state": "opened", "a": 1},
    ],
)
def test_refused(members: Mapping[str, Any]) -> None:
    """What is not one word on one bulletin is refused."""
    with pytest.raises(MalformedPayload):
        open_ack(line_of(canonical(members)))


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"id":1.5}', b'{"id":"a","id":"a"}'])
def test_no_object(payload: bytes) -> None:
    """What is no strict JSON object is refused."""
    with pytest.raises(MalformedPayload, match="payload"):
        open_ack(line_of(payload))


def test_order_of_states() -> None:
    """Who acknowledged has opened; who opened has not acknowledged."""
    assert is_at_least("acknowledged", "opened")
    assert is_at_least("opened", "opened")
    assert not is_at_least("opened", "acknowledged")
