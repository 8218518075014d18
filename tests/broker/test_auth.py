"""Self-signed read tokens: every refusal, and what the cache may and may not remember."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from broker import auth
from broker.auth import Caller, Tokens
from lintas.directory import SKEW_S, Directory, KeyRecord
from lintas.errors import NotAllowed, Unauthorized
from lintas.header import BULLETIN, TOKEN
from lintas.keys import SigningKey
from lintas.line import sign

HUB = "auth.example-aaaaaaaa"
NOW = 1_795_000_000
KEY, ADMIN_KEY, STRANGER = (SigningKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3))


def record_of(key: SigningKey, party: str) -> KeyRecord:
    """Return the record of an active key."""
    return KeyRecord(
        kid=key.kid,
        party=party,
        public=key.public,
        holder="desk",
        not_before=NOW - 1_000,
        not_after=NOW + 10_000,
        enrolled_seq=1,
        enrolled_at=NOW - 1_000,
        active_from=NOW - 1_000,
        approved_seq=2,
    )


KEYS: Mapping[str, KeyRecord] = {
    KEY.kid: record_of(KEY, "sg-fiu"),
    ADMIN_KEY.kid: record_of(ADMIN_KEY, "admin/registrar"),
}
DIRECTORY = Directory(HUB, keys=KEYS)


def token(key: SigningKey = KEY, payload: bytes = b"", **changes: Any) -> str:
    """Return an Authorization header with a token; `changes` replace members."""
    members = {"typ": TOKEN, "iss": "sg-fiu", "aud": HUB, "iat": NOW, "exp": NOW + 300, "scope": "read"} | changes
    return "Bearer " + sign(members, payload, key).decode()


def refusal(authorization: str | None, directory: Directory = DIRECTORY, now: int = NOW) -> str:
    """Return what is said to a caller that is turned away."""
    with pytest.raises(Unauthorized) as caught:
        Tokens().caller(authorization, directory, now)
    return caught.value.detail


def test_agency() -> None:
    """A sound token tells who calls, with which key, for what and how long."""
    assert Caller("sg-fiu", KEY.kid, "read", NOW + 300) == Tokens().caller(token(), DIRECTORY, NOW)


def test_administrator() -> None:
    """An administrator's token opens what administrators read."""
    caller = Tokens().caller(token(ADMIN_KEY, iss="admin/registrar", scope="admin"), DIRECTORY, NOW)

    assert caller.is_admin
    assert not Tokens().caller(token(), DIRECTORY, NOW).is_admin


@pytest.mark.parametrize("spelling", ["bearer ", "BEARER ", "Bearer   "])
def test_spelling_of_the_scheme(spelling: str) -> None:
    """The scheme's letter case and further spaces do not matter."""
    authorization = spelling + token().removeprefix("Bearer ")

    assert "sg-fiu" == Tokens().caller(authorization, DIRECTORY, NOW).party


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "Bearer", "Token x"])
def test_no_token(authorization: str | None) -> None:
    """Without a bearer token nobody is known."""
    assert "" == refusal(authorization)


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        ("Bearer x", "three parts"),
        ("Bearer ", "three parts"),
        ("Bearer \u20ac", "three parts"),
        ("Bearer \u00e9.\u00e9.\u00e9", "ASCII"),
        ("Bearer " + "A" * 3_000, "at most"),
        (token(STRANGER), "no such key"),
        (token(iss="my-police"), "no such key"),
        (token(aud="auth.example-bbbbbbbb"), "another hub"),
        (token(payload=b"{}"), "payload of a token is empty"),
        (token(iat=NOW + SKEW_S + 1, exp=NOW + SKEW_S + 10), "in the future"),
        (token(exp=NOW + 301), "at most 300"),
        (token(exp=NOW), "at most 300"),
        (token(exp=NOW - 1), "at most 300"),
        (token(iat=NOW - 300, exp=NOW), "expired"),
    ],
)
def test_refused(authorization: str, words: str) -> None:
    """Each fault of a token is answered with what is wrong."""
    assert words in refusal(authorization)


def test_forged() -> None:
    """A token whose signature is not the key's is refused."""
    found = token()
    other = token(exp=NOW + 299)

    assert "signature" in refusal(found.rpartition(".")[0] + "." + other.rpartition(".")[2])


def test_another_kind_of_line() -> None:
    """A bulletin is no token."""
    members = {
        "typ": BULLETIN,
        "iss": "sg-fiu",
        "aud": HUB,
        "iat": NOW,
        "exp": NOW + 300,
        "kind": "alert",
        "topic": "cyber",
        "tlp": "CLEAR",
        "release_to": ["*"],
        "urgency": "routine",
    }

    assert "vnd.lintas.bulletin" in refusal("Bearer " + sign(members, b"{}", KEY).decode())


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        (KEY, {"scope": "admin"}),
        (ADMIN_KEY, {"iss": "admin/registrar", "scope": "read"}),
        (ADMIN_KEY, {"iss": "admin/registrar", "scope": "subscribe"}),
    ],
)
def test_scope(key: SigningKey, changes: dict[str, Any]) -> None:
    """Scope `admin` is for administrators, and they have no other."""
    with pytest.raises(NotAllowed) as caught:
        Tokens().caller(token(key, **changes), DIRECTORY, NOW)

    assert "scope" == caught.value.member


@pytest.mark.parametrize(
    "changes",
    [
        {"revoked_seq": 5},
        {"not_after": NOW},
        {"active_from": None},
        {"superseded_at": NOW},
    ],
)
def test_key_that_ended(changes: dict[str, Any]) -> None:
    """A key that may not sign now opens nothing, and a token it signed before is no longer good."""
    tokens = Tokens()
    authorization = token()
    tokens.caller(authorization, DIRECTORY, NOW)
    ended = replace(DIRECTORY, keys={**KEYS, KEY.kid: replace(KEYS[KEY.kid], **changes)})

    with pytest.raises(Unauthorized, match="The key is"):
        tokens.caller(authorization, ended, NOW)
    assert "The key is" in refusal(token(), ended)


def test_suspended_administrator() -> None:
    """A suspended administrator reads nothing."""
    suspended = replace(DIRECTORY, suspended_admins=frozenset({"admin/registrar"}))

    assert "suspended" in refusal(token(ADMIN_KEY, iss="admin/registrar", scope="admin"), suspended)


def test_remembered_until_it_ends() -> None:
    """A remembered token ends when it says, to the second."""
    tokens = Tokens()
    authorization = token()
    tokens.caller(authorization, DIRECTORY, NOW)

    assert "sg-fiu" == tokens.caller(authorization, DIRECTORY, NOW + 299).party
    with pytest.raises(Unauthorized, match="expired"):
        tokens.caller(authorization, DIRECTORY, NOW + 300)


@dataclass
class CountingDirectory:
    """A directory that counts how often a key was asked for to verify a signature."""

    inner: Directory
    asked: int = 0

    @property
    def hub(self) -> str:
        """The hub's name."""
        return self.inner.hub

    def key(self, kid: str, party: str) -> KeyRecord:
        """Count, then answer."""
        self.asked += 1
        return self.inner.key(kid, party)

    def active_key(self, kid: str, party: str, now: int) -> KeyRecord:
        """Answer."""
        return self.inner.active_key(kid, party, now)


def test_verified_once() -> None:
    """The same token again costs no signature check."""
    tokens, directory = Tokens(), CountingDirectory(DIRECTORY)
    authorization = token()

    for _ in range(3):
        tokens.caller(authorization, directory, NOW)  # type: ignore[arg-type]

    assert 1 == directory.asked


def test_refused_tokens_are_not_remembered() -> None:
    """A token that was refused is looked at anew."""
    tokens, directory = Tokens(), CountingDirectory(DIRECTORY)

    for _ in range(2):
        with pytest.raises(Unauthorized):
            tokens.caller(token(exp=NOW + 301), directory, NOW)  # type: ignore[arg-type]

    assert 2 == directory.asked


def test_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit the oldest token is forgotten, and verified anew when it comes again."""
    monkeypatch.setattr(auth, "CACHE_MAX", 2)
    tokens, directory = Tokens(), CountingDirectory(DIRECTORY)
    found = [token(exp=NOW + 100 + number) for number in range(3)]
    for each in (*found, found[2], found[1], found[0]):
        tokens.caller(each, directory, NOW)  # type: ignore[arg-type]

    assert 4 == directory.asked
