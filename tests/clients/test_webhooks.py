"""Webhooks from the command line against a real hub, with the example receiver."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from broker.hub import open_hub
from broker.settings import read_settings
from clients.cli import cli
from clients.scripts import receive_webhook
from clients.settings import open_client
from clients.settings import read_settings as read_client_settings
from lintas import AsyncClient, Client, LintasError, endpoints
from lintas.clock import now_us
from lintas.draft import read_draft
from lintas.ed25519 import public_key_of
from lintas.errors import BadSettings, HubUnreachable
from lintas.event import US_PER_S
from lintas.keys import load_identity
from lintas.request import Response
from lintas.state import State
from lintas.webhooks import key_text, sign_call
from tests.conftest import served, wait_until

READER, ISSUER = "sg-fiu", "my-police"
SEED = bytes(range(32))
DRAFT = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "urgent",
    "release_to": [READER],
    "valid_for": "P7D",
    "payload": {"title": "Fictional scam kit", "summary": "FICTIONAL. Offered for sale."},
}

Run = Callable[..., Result]


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
    return number


@pytest.fixture
def url(exercise_data: Path, port: int) -> Iterator[str]:
    """A served hub that may call this port."""
    hub = open_hub(read_settings({"LINTAS_WEBHOOK_ALLOW": f"127.0.0.1:{port}"}, data=str(exercise_data)))
    hub.start()
    with served(hub) as found:
        yield found
    hub.stop()


@pytest.fixture
def environment(exercise_data: Path, url: str) -> dict[str, str]:
    """What the reader's commands need."""
    return {
        "LINTAS_HUB": url,
        "LINTAS_IDENTITY": str(exercise_data / "agencies" / f"{READER}.json"),
        "LINTAS_PASSPHRASE_FILE": str(exercise_data / "passphrase"),
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run `lintas webhook` as the reader."""

    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["webhook", *arguments], env=environment)

    return run_command


def test_from_order_to_bulletin(
    run: Run, environment: dict[str, str], port: int, exercise_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A webhook that is set, proven by the example receiver, gets a bulletin verified, printed once."""
    url = environment["LINTAS_HUB"]
    key = httpx.get(f"{url}/.well-known/lintas").json()["webhook_key"]
    passphrase = (exercise_data / "passphrase").read_bytes().strip()
    identity = load_identity(exercise_data / "agencies" / f"{ISSUER}.json", passphrase).with_url(url)
    with (
        open_client(read_client_settings(environment)) as client,
        Client(identity, State(":memory:", log_key=identity.hub.log_key)) as issuer,
    ):
        client.sync()
        issuer.sync()
        server = receive_webhook.server(client, key, "127.0.0.1", port)
        server.timeout = 20
        set_up = run("set", "feed", f"http://127.0.0.1:{port}/s3cr3t")
        server.handle_request()
        wait_until(lambda: "active" in run("list").stdout)
        line = issuer.publish(read_draft(DRAFT))
        server.handle_request()
        server.server_close()

    assert (0, key) == (set_up.exit_code, set_up.stdout.split()[-1])
    assert f"{line.id}  {ISSUER}  TLP:AMBER  urgent alert\n" == capsys.readouterr().out


def test_list_and_remove(run: Run, port: int) -> None:
    """The list shows subscription, host and state; a removed webhook is not listed."""
    run("set", "feed", f"http://127.0.0.1:{port}/s3cr3t")
    listed = run("list").stdout
    removed = run("remove", "feed")

    assert ["feed", "127.0.0.1", "pending"] == listed.splitlines()[1].split()[:3]
    assert "s3cr3t" not in listed
    assert (0, "no webhooks\n") == (removed.exit_code, run("list").stdout)


def test_address_from_a_file(run: Run, port: int, tmp_path: Path) -> None:
    """The address can be read from a file, so that no secret stands on the command line."""
    (tmp_path / "address").write_text(f"http://127.0.0.1:{port}/s3cr3t\n")

    result = run("set", "feed", "--url-file", str(tmp_path / "address"))

    assert (0, False) == (result.exit_code, "s3cr3t" in result.output)


@pytest.mark.parametrize("arguments", [["feed"], ["feed", "https://a.example/", "--url-file", __file__]])
def test_one_address(run: Run, arguments: list[str]) -> None:
    """An address is named in exactly one way."""
    assert 2 == run("set", *arguments).exit_code


def test_refused(run: Run) -> None:
    """An address without TLS that is no exception is refused, and nothing is set."""
    result = run("set", "feed", "http://receiver.example/")

    assert isinstance(result.exception, LintasError)
    assert "no webhooks\n" == run("list").stdout


async def _both(client: AsyncClient) -> tuple[int, list[str], str, int]:
    await client.sync()
    ordered = await client.set_webhook("feed", "https://127.0.0.1/")
    hosts = [each["host"] for each in await client.webhooks()]
    key = await client.webhook_key()
    await client.set_webhook("feed", None)
    left = len(await client.webhooks())
    await client.sync()
    return len(ordered.events), hosts, key[:5], left


def test_awaited(environment: dict[str, str], url: str) -> None:
    """The client for event loops does the same, and its log still verifies after the orders."""
    passphrase = Path(environment["LINTAS_PASSPHRASE_FILE"]).read_bytes().strip()

    async def work() -> tuple[int, list[str], str, int]:
        async with AsyncClient.open(environment["LINTAS_IDENTITY"], passphrase, hub=url) as client:
            return await _both(client)

    assert (2, ["127.0.0.1"], "whpk_", 0) == asyncio.run(work())


def test_receiver_refuses_strangers(
    environment: dict[str, str], url: str, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example receiver answers a call that the hub did not sign with 400, and prints nothing of it."""
    key = httpx.get(f"{url}/.well-known/lintas").json()["webhook_key"]
    statuses: list[int] = []

    def post() -> None:
        statuses.append(httpx.post(f"http://127.0.0.1:{port}/", content=b"{}").status_code)

    with open_client(read_client_settings(environment)) as client:
        server = receive_webhook.server(client, key, "127.0.0.1", port)
        stranger = threading.Thread(target=post)
        stranger.start()
        server.handle_request()
        stranger.join()
        server.server_close()

    captured = capsys.readouterr()
    assert ([400], "") == (statuses, captured.out)
    assert captured.err.startswith("refused: ")


def post_signed(port: int, bodies: list[tuple[str, bytes]]) -> tuple[threading.Thread, list[int]]:
    """Post bodies, each with its id and signed by a hub of this test's own, from another thread."""
    statuses: list[int] = []

    def post() -> None:
        for call, body in bodies:
            headers = sign_call(SEED, call=call, time=now_us() // US_PER_S, body=body)
            statuses.append(httpx.post(f"http://127.0.0.1:{port}/", content=body, headers=headers).status_code)

    thread = threading.Thread(target=post)
    thread.start()
    return thread, statuses


def test_receiver_takes_once(environment: dict[str, str], port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The example receiver prints a notice once, however often it comes, and no line without its place in the log."""
    notice = b'{"type":"bulletin.notice","id":"X","seq":1,"tlp":"RED","urgency":"flash","kind":"alert"}'
    with open_client(read_client_settings(environment)) as client:
        server = receive_webhook.server(client, key_text(public_key_of(SEED)), "127.0.0.1", port)
        line = client.sign(read_draft(DRAFT | {"release_to": [ISSUER]}), release_to=[ISSUER])
        thread, statuses = post_signed(port, [("msg_1", notice), ("msg_1", notice), ("msg_2", line.raw)])
        for _ in range(3):
            server.handle_request()
        thread.join()
        server.server_close()

    assert ([200, 200, 400], "bulletin.notice X  RED flash\n") == (statuses, capsys.readouterr().out)


def test_receiver_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example receiver without settings ends with 1 and names the variable."""
    monkeypatch.delenv("LINTAS_IDENTITY", raising=False)

    result = CliRunner().invoke(receive_webhook.main, ["--key", "whpk_x"])

    assert (1, True) == (result.exit_code, "LINTAS_IDENTITY" in result.stderr)


def test_nobody_to_ask(environment: dict[str, str]) -> None:
    """Without a passphrase file, and nobody there to ask, the command says which variable is missing."""
    result = CliRunner().invoke(cli, ["webhook", "list"], env=environment | {"LINTAS_PASSPHRASE_FILE": ""})

    assert isinstance(result.exception, BadSettings)


@pytest.mark.parametrize("body", [b"[]", b'{"webhooks":7}', b'{"webhooks":[7]}', b"{}"])
def test_strange_list(environment: dict[str, str], body: bytes) -> None:
    """A hub that answers with no list of webhooks is not believed."""
    with open_client(read_client_settings(environment)) as client:
        operation = endpoints.webhooks(client.session)
        next(operation)

        with pytest.raises(HubUnreachable):
            operation.send(Response(200, {}, body))
