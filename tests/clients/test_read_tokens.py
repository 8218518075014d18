"""Read tokens from the command line and from both clients, against a real hub."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from lintas import AsyncClient, LintasError
from lintas.draft import read_draft
from lintas.errors import BadRequest
from lintas.misp.export import uuid_of
from lintas.read_token import digest_of, read_token
from lintas.state import State
from tests.conftest import ExerciseHub

AGENCY, ISSUER = "sg-fiu", "my-police"
DRAFT = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "urgent",
    "release_to": [AGENCY],
    "valid_for": "P7D",
    "payload": {"title": "Fictional scam kit", "summary": "FICTIONAL. Offered for sale."},
}


def run(hub: ExerciseHub, *arguments: str, command: str = "read-token", party: str = AGENCY) -> Result:
    """Run `lintas read-token`, or another command, as a party."""
    environment = {
        "LINTAS_HUB": hub.url,
        "LINTAS_IDENTITY": str(hub.data / "agencies" / f"{party}.json"),
        "LINTAS_PASSPHRASE_FILE": str(hub.data / "passphrase"),
    }
    return CliRunner().invoke(cli, [command, *arguments], env=environment)


def test_issue_list_revoke(exercise_hub: ExerciseHub) -> None:
    """A token is printed once, alone on standard output; the list has its bounds, and no secret; revoked it is gone."""
    made = run(
        exercise_hub, "issue", "--label", "MISP of the desk", "--area", "cyber", "--area", "maritime", "--days", "2",
        "--ceiling", "GREEN", "--address", "203.0.113.7", "--address", "198.51.100.0/24",
    )  # fmt: skip
    parts = read_token(made.stdout.removesuffix("\n"))
    assert (0, True) == (made.exit_code, parts is not None), made.output
    assert parts is not None
    token_id, secret = parts
    listed = run(exercise_hub, "list").stdout
    revoked = run(exercise_hub, "revoke", token_id)
    after = run(exercise_hub, "list")

    assert f"lintas read-token revoke {token_id}" in made.stderr
    assert secret not in made.stderr
    head, row = listed.splitlines()
    assert "label" in head
    for part in (token_id, "active", "GREEN", "cyber maritime", "198.51.100.0/24 203.0.113.7/32", "MISP of the desk"):
        assert part in row
    assert secret not in listed
    assert (0, "revoked at index") == (revoked.exit_code, revoked.stdout[:16])
    assert ("", "no read token\n") == (after.stdout, after.stderr)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("issue",), 2),
        (("issue", "--label", "x", "--ceiling", "RED"), 2),
        (("issue", "--label", "x", "--area", "cyber.scam"), 2),
        (("issue", "--label", "x", "--days", "367"), 2),
        (("issue", "--label", "x", "--address", "somewhere"), 1),
        (("revoke", "not-an-id"), 1),
        (("revoke", "a" * 12), 1),
    ],
)
def test_refused(exercise_hub: ExerciseHub, arguments: tuple[str, ...], code: int) -> None:
    """What cannot be a token is refused with an exit code of its kind."""
    result = run(exercise_hub, *arguments)

    assert code == (1 if isinstance(result.exception, LintasError) else result.exit_code)


def test_originator_sees_the_tool(exercise_hub: ExerciseHub) -> None:
    """What a tool fetched is named, with its agency and token, where the originator looks who has it."""
    made = exercise_hub.client(AGENCY).issue_read_token("MISP")
    published = exercise_hub.client(ISSUER).publish(read_draft(DRAFT))
    path = f"{exercise_hub.url}/misp/{uuid_of(published.id)}.json"
    assert 200 == httpx.get(path, auth=("lintas", made.text)).status_code

    shown = run(exercise_hub, published.id, command="status", party=ISSUER).stdout
    assert f"delivered by MISP feed (read token {made.id}) to {AGENCY}" == shown.splitlines()[-1]


def test_clients(exercise_hub: ExerciseHub, tmp_path: Path) -> None:
    """Both clients issue, list from the proven log, and end; what they hold never shows the secret."""
    client = exercise_hub.client(AGENCY)
    made = client.issue_read_token("TAXII client", areas=["cyber"], for_s=3_600)
    [found] = client.read_tokens()
    exercise_hub.clock.advance(3_600)
    [over] = client.read_tokens()

    parts = read_token(made.text)
    assert parts is not None
    assert (made.id, digest_of(parts[1]), "TAXII client") == (found.token.id, found.token.digest, found.label)
    assert parts[1] not in repr(made)
    assert (False, True) == (found.is_over, over.is_over)
    with pytest.raises(BadRequest):
        client.end_read_token(made.text)


async def _awaited(hub: ExerciseHub, state: Path) -> list[Any]:
    identity = hub.identity(AGENCY)
    client = AsyncClient(identity, State(state, log_key=identity.hub.log_key), clock=hub.clock)
    made = await client.issue_read_token("TAXII client")
    listed = await client.read_tokens()
    await client.end_read_token(made.id)
    found = [made.id, [each.token.id for each in listed], await client.read_tokens()]
    await client.aclose()
    return found


def test_async_client(exercise_hub: ExerciseHub, tmp_path: Path) -> None:
    """The client for event loops does the same."""
    made, listed, after = asyncio.run(_awaited(exercise_hub, tmp_path / "other.state"))

    assert ([made], ()) == (listed, after)
