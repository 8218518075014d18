"""Tests of the header: a closed set for each kind of line, a pattern for each member."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lintas import header
from lintas.errors import MalformedLine
from lintas.header import ACK, BULLETIN, EVERYONE, KEY, ORDER, TOKEN, Header, check_header, parse_header

KID = "A" * 43
OTHER = "B" * 42 + "A"
ALWAYS = {"alg": "Ed25519", "kid": KID, "iss": "my-police", "aud": "lintas.example-k3v9q2xa", "iat": 1}
BULLETIN_MEMBERS = {
    **ALWAYS,
    "typ": BULLETIN,
    "exp": 2,
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "release_to": ["id-police", "sg-fiu"],
    "urgency": "urgent",
}
MEMBERS: dict[str, dict[str, Any]] = {
    BULLETIN: BULLETIN_MEMBERS,
    KEY: {**ALWAYS, "typ": KEY},
    ORDER: {**ALWAYS, "typ": ORDER},
    ACK: {**ALWAYS, "typ": ACK},
    TOKEN: {**ALWAYS, "typ": TOKEN, "exp": 2, "scope": "read"},
}
OPTIONAL: dict[str, dict[str, Any]] = {
    BULLETIN: {"refs": [f"answers:{KID}", f"recalls:{OTHER}"], "enc": "hpke"},
    KEY: {},
    ORDER: {"sub": "duty.desk/2"},
    ACK: {"sub": "duty-desk"},
    TOKEN: {"purpose": "investigation", "case_ref": "MY-2026/17 (b)", "sub": "desk_1"},
}


def test_header_reads_every_member() -> None:
    """A bulletin's header comes out member by member, lists as tuples."""
    found = parse_header(json.dumps(MEMBERS[BULLETIN] | OPTIONAL[BULLETIN]).encode())

    assert found == Header(
        typ=BULLETIN,
        kid=KID,
        iss="my-police",
        aud="lintas.example-k3v9q2xa",
        iat=1,
        alg="Ed25519",
        exp=2,
        kind="alert",
        topic="cyber.scam",
        tlp="AMBER",
        release_to=("id-police", "sg-fiu"),
        urgency="urgent",
        refs=(f"answers:{KID}", f"recalls:{OTHER}"),
        enc="hpke",
    )


@pytest.mark.parametrize("typ", MEMBERS)
def test_optional_members_are_taken(typ: str) -> None:
    """Each kind of line may have its optional members."""
    found = check_header(MEMBERS[typ] | OPTIONAL[typ])

    assert typ == found.typ


@pytest.mark.parametrize(("typ", "name"), [(typ, name) for typ, members in MEMBERS.items() for name in members])
def test_required_member_is_missed(typ: str, name: str) -> None:
    """Each required member is missed by name."""
    members = {key: value for key, value in MEMBERS[typ].items() if key != name}

    with pytest.raises(MalformedLine) as caught:
        check_header(members)

    assert name == caught.value.member


FOREIGN = {name: value for typ in MEMBERS for name, value in (MEMBERS[typ] | OPTIONAL[typ]).items()}


@pytest.mark.parametrize(
    ("typ", "name"),
    [(typ, name) for typ in MEMBERS for name in FOREIGN if name not in MEMBERS[typ] | OPTIONAL[typ]],
)
def test_member_of_another_kind_is_refused(typ: str, name: str) -> None:
    """A member that belongs to another kind of line is refused by name."""
    with pytest.raises(MalformedLine) as caught:
        check_header(MEMBERS[typ] | {name: FOREIGN[name]})

    assert name == caught.value.member


BAD: dict[str, list[Any]] = {
    "alg": ["none", "ed25519", "ES256", ["Ed25519"], None],
    "typ": ["vnd.lintas.unknown", "bulletin", ["vnd.lintas.key"], None, 1],
    "kid": [KID[:-1], KID + "A", "B" * 43, "A" * 42 + "=", KID + "\n", 7, None],
    "iss": [
        "My-police",
        "my-police.",
        "my_police",
        "my-p",
        "admin/",
        "admin/Root",
        "admin/../x",
        "m\u0443-police",
        "my-police\n",
        7,
    ],
    "aud": ["lintas.example", "lintas.example-K3V9Q2XA", "-k3v9q2xa", "lintas.example-k3v9q2xa\n", ".x-k3v9q2xa", 7],
    "iat": [-1, "1", True, None, [1]],
    "exp": [-1, "1", False],
    "kind": ["Alert", "rumour", ["alert"], {}],
    "topic": ["cyber.", "Cyber.scam", "*", ""],
    "tlp": ["amber", "TLP:AMBER", "WHITE", 3],
    "urgency": ["soon", None],
    "enc": ["HPKE", "", True],
    "release_to": [
        "*",
        [],
        ["*", "id-police"],
        ["sg-fiu", "id-police"],
        ["id-police", "id-police"],
        ["admin/one"],
        ["id-police", 7],
        {"id-police": 1},
        [f"aa-x{number:03}" for number in range(header.RECIPIENTS_MAX + 1)],
    ],
    "refs": [
        [],
        [KID],
        [f"likes:{KID}"],
        [f"recalls:{KID}", f"answers:{KID}"],
        [f"recalls:{KID}", f"recalls:{KID}"],
        [f"recalls:{KID} "],
        [f"comments:{number:042}A" for number in range(header.REFS_MAX + 1)],
    ],
    "scope": ["write", "", ["read"]],
    "purpose": ["curiosity"],
    "case_ref": ["", " lead", "a" * 65, "a\nb", "né"],
    "sub": ["", "Desk", "a" * 65, "-a"],
}


BAD_VALUES = {f"{name} {number}": (name, value) for name, values in BAD.items() for number, value in enumerate(values)}


@pytest.mark.parametrize(("name", "value"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_value_is_refused(name: str, value: Any) -> None:
    """A value outside its pattern is refused by the member's name."""
    typ = next(typ for typ in MEMBERS if name in MEMBERS[typ] | OPTIONAL[typ])

    with pytest.raises(MalformedLine) as caught:
        check_header(MEMBERS[typ] | {name: value})

    assert name == caught.value.member


@pytest.mark.parametrize("tlp", ["CLEAR", "GREEN"])
def test_wide_marking_may_go_to_everyone(tlp: str) -> None:
    """CLEAR and GREEN may be released to every partner."""
    found = check_header(BULLETIN_MEMBERS | {"tlp": tlp, "release_to": ["*"]})

    assert EVERYONE == found.release_to


@pytest.mark.parametrize("tlp", ["AMBER", "AMBER+STRICT", "RED"])
def test_narrow_marking_names_its_recipients(tlp: str) -> None:
    """Nothing above GREEN goes to every partner."""
    with pytest.raises(MalformedLine) as caught:
        check_header(BULLETIN_MEMBERS | {"tlp": tlp, "release_to": ["*"]})

    assert "release_to" == caught.value.member


@pytest.mark.parametrize(("more_s", "is_taken"), [(0, True), (1, False)])
def test_validity_is_bounded(more_s: int, *, is_taken: bool) -> None:
    """A bulletin dated to the first second of all stands for the longest time allowed, and not a second longer."""
    members = BULLETIN_MEMBERS | {"iat": 0, "exp": header.VALIDITY_S_MAX + more_s}

    member: str | None = None
    try:
        check_header(members)
    except MalformedLine as refusal:
        member = refusal.member

    assert (None if is_taken else "exp") == member


def test_one_recipient_is_enough() -> None:
    """A bulletin may go to one agency, with one reference."""
    found = check_header(BULLETIN_MEMBERS | {"release_to": ["sg-fiu"], "refs": [f"answers:{KID}"]})

    assert (("sg-fiu",), (f"answers:{KID}",)) == (found.release_to, found.refs)


def test_issuer_is_no_recipient() -> None:
    """The issuer is not listed among its recipients."""
    with pytest.raises(MalformedLine) as caught:
        check_header(BULLETIN_MEMBERS | {"iss": "sg-fiu"})

    assert "release_to" == caught.value.member


def test_limits_are_reached() -> None:
    """As many recipients and references as allowed are taken."""
    recipients = [f"aa-x{number:03}" for number in range(header.RECIPIENTS_MAX)]
    refs = [f"comments:{number:042}A" for number in range(header.REFS_MAX)]

    found = check_header(BULLETIN_MEMBERS | {"release_to": recipients, "refs": refs})

    assert (header.RECIPIENTS_MAX, header.REFS_MAX) == (len(found.release_to), len(found.refs))


@pytest.mark.parametrize(("more", "is_taken"), [(0, True), (1, False)])
def test_header_has_a_size(more: int, *, is_taken: bool) -> None:
    """A header of 4,096 bytes is read; one byte more is refused."""
    text = json.dumps(MEMBERS[KEY]).encode()
    data = text + b" " * (header.HEADER_BYTES_MAX - len(text) + more)

    try:
        found = parse_header(data).typ == KEY
    except MalformedLine:
        found = False

    assert is_taken == found


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b'{"a":1,"a":1}', "The header has a duplicate member."),
        (b"[]", "The header is not an object."),
        (b"[" * 99, "The header nested deeper than 16."),
        (b"\xef\xbb\xbf{}", "The header starts with a byte order mark."),
        (b"\xff", "The header is not UTF-8."),
        (b"{", "The header is not JSON."),
    ],
)
def test_fault_of_the_text_is_named(data: bytes, detail: str) -> None:
    """The detail says in words what is wrong with the text, without repeating it."""
    with pytest.raises(MalformedLine) as caught:
        parse_header(data)

    assert detail == caught.value.detail


def test_name_of_a_foreign_member_is_cut() -> None:
    """A name of our opponent's choice is repeated only in part."""
    with pytest.raises(MalformedLine) as caught:
        check_header(MEMBERS[KEY] | {"x" * 1000: 1})

    assert "x" * 64 == caught.value.member


def test_targets_by_relation() -> None:
    """The ids of the relations asked for come out, in order."""
    found = check_header(BULLETIN_MEMBERS | OPTIONAL[BULLETIN])

    assert ((OTHER,), (KID, OTHER), ()) == (
        found.targets("recalls"),
        found.targets("recalls", "answers"),
        found.targets("comments"),
    )


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (KID, {"id"}),
        ("my-police", {"party", "agency"}),
        ("admin/registrar", {"party"}),
        ("lintas.example-k3v9q2xa", {"hub"}),
        ("my-police\n", set()),
        (7, set()),
    ],
)
def test_names_are_told_apart(text: object, kinds: set[str]) -> None:
    """Ids, parties, agencies and hubs each have their pattern."""
    checks = {"id": header.is_id, "party": header.is_party, "agency": header.is_agency, "hub": header.is_hub}

    assert kinds == {name for name, check in checks.items() if check(text)}
