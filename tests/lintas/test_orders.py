"""Tests of what key lines and orders ask for: one form for each act."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from lintas.errors import MalformedPayload, WeakKey, WrongType
from lintas.header import KEY, ORDER
from lintas.jwk import jwk
from lintas.orders import (
    COMMUNITY_MEMBERS_MAX,
    INTEREST_S_MAX,
    OVERLAP_S_MAX,
    REASONS,
    TEXT_CHARACTERS_MAX,
    WATCH_INDICATORS_MAX,
    Enrol,
    Revoke,
    Rotate,
    check_indicators,
    open_key_line,
    open_order,
)

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

KID = "A" * 43
NOW = 1_795_467_600
INDICATORS = [{"type": "domain", "value": "lotustrade.example"}, {"type": "phone", "value": "+6542995883"}]

ARGUMENTS: dict[str, dict[str, Any]] = {
    "invite": {"agency": "my-police"},
    "approve": {"agency": "my-police", "kid": KID},
    "revoke": {"agency": "my-police", "kid": KID, "reason": "keyCompromise", "since": 0},
    "suspend": {"agency": "admin/one", "reason": "on leave"},
    "resume": {"agency": "my-police"},
    "grant": {"agency": "my-police", "publish": ["cyber", "drugs"], "read": ["*"]},
    "ceiling": {"agency": "my-police", "tlp": "AMBER+STRICT"},
    "community": {"name": "asean-maritime", "members": ["id-police", "my-police"]},
    "interest": {"mode": "contact", "case_ref": "SIM-26-7", "until": NOW + INTEREST_S_MAX, "indicators": INDICATORS},
    "interest-end": {"interest": KID},
    "watch": {"name": "case-26-7", "indicators": INDICATORS},
}

BAD: dict[str, list[Any]] = {
    "agency": ["Police", 7, None, ["my-police"], ""],
    "kid": ["short", 7, KID[:-1] + "B"],
    "reason": [["keyCompromise"], "", "x" * (TEXT_CHARACTERS_MAX + 1), "two\nlines", 7, "right\u202eleft"],
    "since": [-1, "0", True],
    "publish": [["drugs", "cyber"], ["cyber", "cyber"], ["*", "cyber"], ["gossip"], "*", [7], None],
    "read": [["drugs", "cyber"], ["cyber", "cyber"], ["*", "cyber"], ["gossip"], "*", [["cyber"]], None],
    "tlp": ["TLP:RED", "amber", 4, None, ["RED"]],
    "name": ["", "a" * 65, "a b", "a\n", "é", 7],
    "members": [["my-police", "id-police"], ["my-police", "my-police"], ["admin/one"], "my-police", [7],
                [f"aa-x{number:03}" for number in range(COMMUNITY_MEMBERS_MAX + 1)]],
    "mode": ["loud", "", 7, ["open"]],
    "case_ref": ["", "x" * 65, "-1", "a\u202eb", 7],
    "until": [NOW, NOW - 1, NOW + INTEREST_S_MAX + 1, "0", True],
    "interest": ["short", 7, KID[:-1] + "B"],
    "indicators": [INDICATORS[::-1], INDICATORS[:1] * 2, [{"type": "gossip", "value": "x"}], "phone", [7],
                   [{"type": "phone"}], [{"type": "phone", "value": ""}], [{"type": "phone", "value": 7}],
                   [{"type": ["phone"], "value": "x"}], [{"type": "phone", "value": "x" * 2_049}],
                   [INDICATORS[0] | {"role": "x"}],
                   [{"type": "phone", "value": f"+65{n:08}"} for n in range(WATCH_INDICATORS_MAX + 1)]],
}  # fmt: skip
BAD_ARGUMENTS = {
    f"{act} {name} {number}": (act, name, value)
    for act, arguments in ARGUMENTS.items()
    for name in arguments
    for number, value in enumerate(BAD[name])
}


@pytest.mark.parametrize("act", ARGUMENTS)
def test_order_is_read(ledger: Ledger, act: str) -> None:
    """Each act is read with its arguments and the line that asks for it."""
    line = ledger.order(act, "admin/one", **ARGUMENTS[act])

    found = open_order(line)

    assert (act, ARGUMENTS[act], (line,)) == (found.act, found.args, found.lines)


def test_order_of_two_is_read(ledger: Ledger) -> None:
    """A countersigned order shows the second person's line first, then the first person's."""
    line = ledger.order("resume", "admin/one", "admin/two", agency="my-police")

    found = open_order(line)

    assert ["admin/two", "admin/one"] == [each.header.iss for each in found.lines]


@pytest.mark.parametrize(("act", "name", "value"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_argument_is_refused(ledger: Ledger, act: str, name: str, value: Any) -> None:
    """An argument outside its set refuses the order by its name."""
    line = ledger.order(act, "admin/one", **ARGUMENTS[act] | {name: value})

    with pytest.raises(MalformedPayload) as caught:
        open_order(line)

    assert name == caught.value.member


@pytest.mark.parametrize(("act", "name"), [(act, name) for act, arguments in ARGUMENTS.items() for name in arguments])
def test_argument_is_missed(ledger: Ledger, act: str, name: str) -> None:
    """An argument left out refuses the order by its name."""
    arguments = {other: value for other, value in ARGUMENTS[act].items() if other != name}

    with pytest.raises(MalformedPayload) as caught:
        open_order(ledger.order(act, "admin/one", **arguments))

    assert name == caught.value.member


@pytest.mark.parametrize("act", ARGUMENTS)
def test_argument_too_many(ledger: Ledger, act: str) -> None:
    """A member that the act does not have refuses the order."""
    with pytest.raises(MalformedPayload) as caught:
        open_order(ledger.order(act, "admin/one", **ARGUMENTS[act], extra=1))

    assert "extra" == caught.value.member


@pytest.mark.parametrize("act", ["grant", "ceiling"])
def test_agency_of_a_grant_is_no_admin(ledger: Ledger, act: str) -> None:
    """Grants and ceilings are an agency's: an administrator reads no bulletins."""
    with pytest.raises(MalformedPayload) as caught:
        open_order(ledger.order(act, "admin/one", **ARGUMENTS[act] | {"agency": "admin/two"}))

    assert "agency" == caught.value.member


@pytest.mark.parametrize("act", ["promote", "", None, 7, ["invite"]], ids=repr)
def test_unknown_act(ledger: Ledger, act: Any) -> None:
    """An act that is none is refused."""
    with pytest.raises(MalformedPayload) as caught:
        open_order(ledger.line(ORDER, "admin/one", {"act": act}))

    assert "act" == caught.value.member


@pytest.mark.parametrize("payload", [b"", b"no line", b"{", b"[1]", b'{"act":"invite","act":"invite"}'], ids=repr)
def test_shapeless_order(ledger: Ledger, payload: bytes) -> None:
    """A payload that is neither an object nor a line is refused."""
    with pytest.raises(MalformedPayload):
        open_order(ledger.line(ORDER, "admin/one", payload))


def test_order_of_three(ledger: Ledger) -> None:
    """An order is nested once at most."""
    with pytest.raises(MalformedPayload, match="at most one"):
        open_order(ledger.order("resume", "admin/one", "admin/two", "admin/three", agency="my-police"))


def test_empty_sets_are_taken(ledger: Ledger) -> None:
    """A grant may be taken away, a community may be dissolved."""
    grant = open_order(ledger.order("grant", "admin/one", agency="my-police", publish=[], read=[]))
    community = open_order(ledger.order("community", "admin/one", name="a", members=[]))

    assert ([], [], []) == (grant.args["publish"], grant.args["read"], community.args["members"])


def test_limits_of_an_order(ledger: Ledger) -> None:
    """Texts of the least and the largest size are taken, and a name and a community of the largest."""
    members = [f"aa-x{number:03}" for number in range(COMMUNITY_MEMBERS_MAX)]

    for reason in ("x", "x" * TEXT_CHARACTERS_MAX):
        open_order(ledger.order("suspend", "admin/one", agency="my-police", reason=reason))
    found = open_order(ledger.order("community", "admin/one", name="a" * 64, members=members))

    assert members == found.args["members"]


def test_enrolment_is_read(ledger: Ledger) -> None:
    """An enrolment carries the key, who holds it, its window, the invitation."""
    key = ledger.key("new")

    found = open_key_line(ledger.enrolment("id-police", key="new", invite=KID))

    assert Enrol(key.public, key.kid, "duty desk", ledger.now, ledger.now + 365 * 86_400, KID, "A" * 43) == found


def test_enrolment_of_the_first_admin(ledger: Ledger) -> None:
    """Only an administrator may ask without an invitation."""
    found = open_key_line(ledger.enrolment("admin/one"))

    assert isinstance(found, Enrol)
    assert (None, None) == (found.invite, found.code_hmac)
    with pytest.raises(MalformedPayload) as caught:
        open_key_line(ledger.enrolment("my-police"))
    assert "invite" == caught.value.member


def test_code_without_invitation(ledger: Ledger) -> None:
    """A code belongs to an invitation, for an administrator too."""
    payload = {"act": "enrol", **ledger.window(ledger.key("admin/one")), "code_hmac": KID}

    with pytest.raises(MalformedPayload) as caught:
        open_key_line(ledger.line(KEY, "admin/one", payload))

    assert "code_hmac" == caught.value.member


WINDOW: dict[str, list[Any]] = {
    "jwk": [None, "x", {"kty": "OKP"}],
    "holder": ["", "x" * (TEXT_CHARACTERS_MAX + 1), "a\nb", 7],
    "not_before": [-1, "0", False],
    "not_after": [-1, None],
}
BAD_WINDOW = {
    f"{name} {number}": (name, value) for name, values in WINDOW.items() for number, value in enumerate(values)
}


@pytest.mark.parametrize(("name", "value"), BAD_WINDOW.values(), ids=BAD_WINDOW)
def test_window_is_refused(ledger: Ledger, name: str, value: Any) -> None:
    """A key is presented in one form, at enrolment as at rotation."""
    for line in (
        ledger.enrolment("admin/one", **{name: value}),
        ledger.rotation("my-police", new="new", **{name: value}),
    ):
        with pytest.raises(MalformedPayload) as caught:
            open_key_line(line)
        assert name == caught.value.member


def test_key_of_another_is_not_presented(ledger: Ledger) -> None:
    """The key presented is the key that signs: `kid` is its thumbprint."""
    other = jwk(ledger.key("other").public)

    for line in (ledger.enrolment("admin/one", jwk=other), ledger.rotation("my-police", new="new", jwk=other)):
        with pytest.raises(MalformedPayload, match="thumbprint"):
            open_key_line(line)


def test_weak_key_is_not_presented(ledger: Ledger) -> None:
    """A key of small order is refused where it would come in."""
    with pytest.raises(WeakKey):
        open_key_line(ledger.enrolment("admin/one", jwk=jwk(bytes(32))))


def test_rotation_is_read(ledger: Ledger) -> None:
    """A rotation shows the new key, the overlap, the line of the new key."""
    key = ledger.key("new")

    found = open_key_line(ledger.rotation("my-police", new="new", overlap_s=OVERLAP_S_MAX))

    assert isinstance(found, Rotate)
    assert (key.public, key.kid, OVERLAP_S_MAX, key.kid) == (
        found.public,
        found.kid,
        found.overlap_s,
        found.inner.header.kid,
    )


@pytest.mark.parametrize("overlap_s", [-1, OVERLAP_S_MAX + 1, "0", True])
def test_overlap_is_bounded(ledger: Ledger, overlap_s: Any) -> None:
    """Old and new key overlap for 30 days at most."""
    with pytest.raises(MalformedPayload) as caught:
        open_key_line(ledger.rotation("my-police", new="new", overlap_s=overlap_s))

    assert "overlap_s" == caught.value.member


def test_rotation_of_another_agency(ledger: Ledger) -> None:
    """A key line of another agency cannot be wrapped into a rotation."""
    payload = {"act": "rotate", "overlap_s": 0, **ledger.window(ledger.key("new"))}
    inner = ledger.line(KEY, "sg-fiu", payload, key="new")

    with pytest.raises(MalformedPayload, match="same agency"):
        open_key_line(ledger.line(KEY, "my-police", inner.raw))


def test_enrolment_inside_a_rotation(ledger: Ledger) -> None:
    """What was signed as an enrolment cannot be wrapped into a rotation."""
    inner = ledger.enrolment("my-police", key="new", invite=KID)

    with pytest.raises(MalformedPayload, match="rotate"):
        open_key_line(ledger.line(KEY, "my-police", inner.raw))


def test_rotation_alone(ledger: Ledger) -> None:
    """A new key does not rotate by itself."""
    payload = {"act": "rotate", "overlap_s": 0, **ledger.window(ledger.key("new"))}

    with pytest.raises(MalformedPayload) as caught:
        open_key_line(ledger.line(KEY, "my-police", payload, key="new"))

    assert "act" == caught.value.member


def test_rotation_in_a_rotation(ledger: Ledger) -> None:
    """A rotation is nested once."""
    inner = ledger.rotation("my-police", new="new")

    with pytest.raises(MalformedPayload, match="exactly one"):
        open_key_line(ledger.line(KEY, "my-police", inner.raw))


def test_order_inside_a_key_line(ledger: Ledger) -> None:
    """A line of another kind is no payload of a key line, nor the other way round."""
    order = ledger.order("resume", "admin/one", agency="my-police")

    with pytest.raises(WrongType):
        open_key_line(ledger.line(KEY, "admin/one", order.raw))
    with pytest.raises(WrongType):
        open_order(ledger.line(ORDER, "admin/one", ledger.revocation("admin/one").raw))


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_revocation_is_read(ledger: Ledger, reason: str) -> None:
    """A revocation names key, reason and the moment of distrust."""
    found = open_key_line(ledger.revocation("my-police", reason=reason, since=7))

    assert Revoke(ledger.key("my-police").kid, reason, 7) == found


@pytest.mark.parametrize(
    ("name", "value"), [("reason", "bored"), ("reason", None), ("since", -1), ("kid", "x"), ("x", 1)]
)
def test_revocation_is_strict(ledger: Ledger, name: str, value: Any) -> None:
    """A revocation has exactly its members."""
    payload = {"act": "revoke", "kid": KID, "reason": "superseded", "since": 0, name: value}

    with pytest.raises(MalformedPayload) as caught:
        open_key_line(ledger.line(KEY, "my-police", payload))

    assert name == caught.value.member


@pytest.mark.parametrize(("act", "count", "is_read"), [("interest", 0, False), ("interest", 100, True),
                                                       ("interest", 101, False), ("watch", 0, True)])  # fmt: skip
def test_number_of_indicators(ledger: Ledger, act: str, count: int, *, is_read: bool) -> None:
    """An interest has 1 to 100 indicators, a watch list none at least."""
    listed = [{"type": "phone", "value": f"+65{number:08}"} for number in range(count)]
    line = ledger.order(act, "sg-fiu", **ARGUMENTS[act] | {"indicators": listed})

    with nullcontext() if is_read else pytest.raises(MalformedPayload):
        assert count == len(open_order(line).args["indicators"])


@pytest.mark.parametrize(
    ("kind", "value", "detail"),
    [
        ("phone", "+65 4299 5883", "not canonical"),
        ("phone", "nobody", "."),
        ("person", "FICTIONAL<<ARJUNA||", "birth date"),
        ("person", "FICTIONAL<<ARJUNA|1988|", None),
        ("domain", "lotustrade.example", None),
    ],
)
def test_canonical_indicators(ledger: Ledger, kind: str, value: str, detail: str | None) -> None:
    """Values are canonical and mean one thing; the refusal names the value at fault by its place."""
    listed = sorted([INDICATORS[1], {"type": kind, "value": value}], key=lambda each: (each["type"], each["value"]))
    order = open_order(ledger.order("watch", "sg-fiu", name="list", indicators=listed))

    if detail is None:
        check_indicators(order)
        return
    with pytest.raises(MalformedPayload, match=detail) as caught:
        check_indicators(order)
    place = [each["value"] for each in listed].index(value)
    assert f"indicators[{place}].value" == caught.value.member
