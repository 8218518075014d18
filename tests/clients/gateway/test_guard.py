"""Who may ask the gateway."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from clients.gateway.guard import Guard, Tokens, check_loopback, names_of, read_tokens
from lintas.errors import BadRequest, BadSettings, LintasError, NotAllowed, Unauthorized

READ, POST = "r" * 40, "p" * 40
GUARD = Guard(Tokens(READ, POST), names_of("127.0.0.1", 8490))


def basic(token: str) -> str:
    """Write a token as a password."""
    return f"Basic {base64.b64encode(f'tool:{token}'.encode()).decode()}"


def headers(authorization: str, **other: str) -> dict[str, str]:
    """Write the head of a request."""
    return {"host": "127.0.0.1:8490", "authorization": authorization} | {
        name.replace("_", "-"): value for name, value in other.items()
    }


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("authorization", [basic(POST), f"Bearer {POST}", f"bearer {POST}"])
@pytest.mark.parametrize("host", ["127.0.0.1:8490", "localhost:8490", "LOCALHOST:8490"])
def test_tool(method: str, authorization: str, host: str) -> None:
    """A tool with the token that posts may do both, as a password or as it is."""
    GUARD.admit(method, headers(authorization, host=host))


def test_reading_tool() -> None:
    """The token that reads does not post."""
    GUARD.admit("GET", headers(basic(READ)))

    with pytest.raises(NotAllowed, match="This token reads"):
        GUARD.admit("POST", headers(basic(READ)))


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"authorization": ""}, Unauthorized),
        ({"authorization": "Bearer "}, Unauthorized),
        ({"authorization": f"Bearer {POST}x"}, Unauthorized),
        ({"authorization": f"Digest {POST}"}, Unauthorized),
        ({"authorization": "Basic %%%"}, Unauthorized),
        ({"authorization": "Basic \xfc"}, Unauthorized),
        ({"authorization": f"Basic {base64.b64encode(POST.encode()).decode()}"}, Unauthorized),
        ({"host": "evil.example:8490"}, BadRequest),
        ({"host": "127.0.0.1"}, BadRequest),
        ({"host": "127.0.0.1:8491"}, BadRequest),
        ({"host": ""}, BadRequest),
        ({"origin": "http://127.0.0.1:8490"}, NotAllowed),
        ({"sec-fetch-site": "none"}, NotAllowed),
    ],
)
def test_refused(given: dict[str, str], fault: type[LintasError]) -> None:
    """A wrong token, a foreign name and anything from a browser is refused."""
    with pytest.raises(fault):
        GUARD.admit("GET", headers(basic(POST)) | given)


def test_tokens_are_made_once(tmp_path: Path) -> None:
    """The first start makes two tokens, for this user alone; the next one finds them."""
    path = tmp_path / "tokens"
    first, second = read_tokens(path), read_tokens(path)

    assert (first, 0o600, True) == (second, path.stat().st_mode & 0o777, first.read != first.post)
    assert min(len(first.read), len(first.post)) > 40
    assert first.read not in repr(first)


def test_tokens_that_others_can_read(tmp_path: Path) -> None:
    """Tokens open to others are refused."""
    read_tokens(tmp_path / "tokens")
    (tmp_path / "tokens").chmod(0o640)

    with pytest.raises(BadSettings, match="read by others"):
        read_tokens(tmp_path / "tokens")


@pytest.mark.parametrize("text", ["", "{}", '{"read": "x", "post": "y"}'])
def test_tokens_that_are_none(tmp_path: Path, text: str) -> None:
    """A file without tokens, or with some that could be guessed, is refused."""
    (tmp_path / "tokens").write_text(text)
    (tmp_path / "tokens").chmod(0o600)

    with pytest.raises(BadSettings, match="remove it"):
        read_tokens(tmp_path / "tokens")


@pytest.mark.parametrize(("given", "taken"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")])
def test_loopback(given: str, taken: str) -> None:
    """The machine's own addresses are listened on."""
    assert taken == check_loopback(given)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "gateway.example", ""])
def test_reachable_from_elsewhere(host: str) -> None:
    """Any address that others reach is refused."""
    with pytest.raises(BadSettings, match="listens on"):
        check_loopback(host)


def test_names_of_ipv6() -> None:
    """An IPv6 address stands in brackets."""
    assert frozenset({"[::1]:1", "localhost:1"}) == names_of("::1", 1)
