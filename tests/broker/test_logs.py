"""The log of the process: one line an event, nothing in it that is not the operator's business."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from broker.logs import KIND_MAX, logging_to
from broker.settings import read_settings
from broker.store.engine import DatabaseFault, Store
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import LogHalted
from lintas.header import BULLETIN
from lintas.state import State
from tests.broker.conftest import Template
from tests.conftest import wait_until
from tests.processes import free_port

logger = logging.getLogger("lintas.test")


@pytest.fixture
def out() -> io.StringIO:
    """Where the log of this test goes."""
    return io.StringIO()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines as objects."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_line(out: io.StringIO) -> None:
    """A line is one JSON object with time, level, logger, event, and what was given beside."""
    with logging_to(out, "info", "json"):
        logger.info("two\nlines", extra={"status": 503})
    found = lines(out)

    assert [{"level": "info", "logger": "lintas.test", "event": "two\nlines", "status": 503}] == [
        {name: value for name, value in each.items() if name != "time"} for each in found
    ]
    assert found[0]["time"].endswith("Z")


def test_text_line(out: io.StringIO) -> None:
    """As text an event is one line too, whatever is in it."""
    with logging_to(out, "info", "text"):
        logger.warning("two\nlines", extra={"route": "/v1/keys"})

    (line,) = out.getvalue().splitlines()
    assert line.endswith('WARNING lintas.test two\\nlines route="/v1/keys"')


def test_form_follows_the_stream(out: io.StringIO) -> None:
    """Without a form what does not go to a terminal is JSON."""
    with logging_to(out, "info"):
        logger.info("begun")

    assert ["begun"] == [each["event"] for each in lines(out)]


def test_level(out: io.StringIO) -> None:
    """The level holds for our own loggers; libraries are heard from warnings on, whatever was chosen."""
    with logging_to(out, "debug"):
        for name in ("lintas.test", "httpx"):
            logging.getLogger(name).info("https://receiver.example/secret-path")
            logging.getLogger(name).warning("warned")

    assert [("lintas.test", "info"), ("lintas.test", "warning"), ("httpx", "warning")] == [
        (each["logger"], each["level"]) for each in lines(out)
    ]


def test_exception_without_its_words(out: io.StringIO) -> None:
    """Of an exception that may quote something from outside, type and places are written, not its text."""
    with logging_to(out, "info"):
        try:
            int("SECRET-TITLE")
        except ValueError:
            logger.exception("failed")
    (found,) = lines(out)

    assert ("ValueError", True) == (found["error"], found["at"][-1].startswith("test_logs.py:"))
    assert "SECRET-TITLE" not in out.getvalue()


def test_exception_of_ours(out: io.StringIO) -> None:
    """Of an exception in words of ours the first line is written."""
    with logging_to(out, "info"):
        logger.error("failed", exc_info=LogHalted("Row 7: gone."))

    assert ["LogHalted: Row 7: gone."] == [each["error"] for each in lines(out)]


def test_database_does_not_quote_rows(out: io.StringIO, tmp_path: Path) -> None:
    """What a database refuses to store is not in its exception, nor in the log."""
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(DatabaseFault) as raised, store.write() as conn:
        conn.execute(text("INSERT INTO nowhere VALUES (:title)"), {"title": "SECRET-TITLE"})
    with logging_to(out, "info"):
        logger.error("failed", exc_info=raised.value)
    store.close()

    assert ["OperationalError: (sqlite3.OperationalError) no such table: nowhere"] == [
        each["error"] for each in lines(out)
    ]
    assert "SECRET-TITLE" not in str(raised.value) + out.getvalue()


def test_flood(out: io.StringIO) -> None:
    """Of one kind and level so many lines a second are written; the first one after says how many were left out."""
    with logging_to(out, "info"):
        for second in (0.0, 1.0):
            for number in range(KIND_MAX + 5):
                record = logger.makeRecord(logger.name, logging.INFO, "", 0, "request %d", (number,), None)
                record.created = second + 0.5
                logger.handle(record)
            critical = logger.makeRecord(logger.name, logging.CRITICAL, "", 0, "request %d", (0,), None)
            critical.created = second + 0.5
            logger.handle(critical)
    found = lines(out)

    assert 2 * (KIND_MAX + 1) == len(found)
    assert [(KIND_MAX + 1, 5)] == [(place, each["left_out"]) for place, each in enumerate(found) if "left_out" in each]


@pytest.fixture
def output(few: Template, tmp_path: Path) -> Iterator[tuple[str, Path, Path]]:
    """A hub process that logs all it can: its address, its data, what it printed."""
    data, printed, port = few.copy(tmp_path / "hub"), tmp_path / "output", free_port()
    command = [sys.executable, "-m", "broker", "serve", "--data", str(data), "--port", str(port)]
    with printed.open("wb") as file:
        environment = {**os.environ, "LINTAS_LOG_LEVEL": "debug"}
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        assert process.poll() is None, printed.read_text()
        try:
            return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready, 60)
    yield url, data, printed
    process.terminate()
    assert process.wait() == 0


def test_scene_leaves_no_trace(output: tuple[str, Path, Path], few: Template, tmp_path: Path) -> None:
    """A hub that logs all it can, through a whole scene, writes no content, id, token, filter, address or secret."""
    url, data, printed = output
    marker = f"mark{secrets.token_hex(8)}"
    clients = {
        party: Client(
            few.identities[party].with_url(url),
            State(tmp_path / f"{party.replace('/', '-')}.state", log_key=few.identities[party].hub.log_key),
        )
        for party in ("my-police", "sg-fiu", "admin/registrar")
    }
    issuer, reader, admin = clients.values()
    for client in clients.values():
        client.sync()
    payload = {
        "title": f"FICTIONAL {marker}",
        "summary": f"SIMULATED. {marker}.",
        "case_ref": f"SIM-{marker}",
        "indicators": [{"type": "domain", "value": f"{marker}.example", "role": "phishing"}],
    }
    members = {"kind": "alert", "topic": "cyber.scam", "tlp": "AMBER", "urgency": "routine", "release_to": ["sg-fiu"]}
    published = issuer.publish(read_draft(members | {"valid_for": "P30D", "payload": payload}))
    line = issuer.sign(read_draft(members | {"valid_for": "P30D", "payload": payload | {"summary": f"{marker} 2"}}))
    received = list(reader.follow(once=True))
    token = reader.token()
    reader.subscribe(f"s-{marker}")
    reader.set_webhook(f"s-{marker}", f"https://receiver.invalid/{marker}")
    reader.set_watch(f"w-{marker}", [("domain", f"{marker}.example")])
    tool = reader.issue_read_token(f"t-{marker}")
    code = admin.order("invite", {"agency": "bn-customs"}).code
    admin.admin_events(limit=100)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
        statuses = [
            http.get("/v1/bulletins", params={"topic": marker}).status_code,
            http.get(f"/v1/bulletins/{published.id}", headers={"Lintas-Purpose": marker}).status_code,
            http.get(f"/{marker}?{marker}={marker}", headers={"Authorization": marker}).status_code,
            http.post(f"/v1/bulletins?x={marker}", content=line.raw).status_code,
            http.post(
                "/v1/bulletins",
                content=line.raw[:-9] + b"AAAAAAAAA",
                headers={"Content-Type": f"application/{BULLETIN}"},
            ).status_code,
            http.request("GET", "/v1/keys", headers={"Authorization": f"Bearer {token[:-4]}AAAA"}).status_code,
            http.get("/v1/bulletins", headers={"Authorization": f"Bearer {tool.text}"}).status_code,
            http.get("/misp/manifest.json", auth=("lintas", tool.text + "A")).status_code,
        ]
        assert 200 == http.get("/misp/hashes.csv", auth=("lintas", tool.text)).status_code
    with Store(read_settings({}, data=str(data)).database).write() as conn:
        conn.execute(text("ALTER TABLE line RENAME TO line_gone"))
    broken = httpx.post(f"{url}/v1/bulletins", content=line.raw, headers={"Content-Type": f"application/{BULLETIN}"})
    with Store(read_settings({}, data=str(data)).database).write() as conn:
        conn.execute(text("ALTER TABLE line_gone RENAME TO line"))
    for client in clients.values():
        client.close()
    # An answer leaves before it is noted.
    wait_until(lambda: broken.headers["lintas-request"] in printed.read_text())
    told = printed.read_text()
    secret = (data / "hub.secret").read_text().strip()
    key = (data / "log.key").read_text().strip()
    entries = [json.loads(each) for each in told.splitlines()]
    failed = [each for each in entries if each.get("request") == broken.headers["lintas-request"]]

    assert [f"FICTIONAL {marker}"] == [each.content.title for each in received if each.content is not None]
    assert all(status >= 400 for status in (*statuses[2:], broken.status_code))
    assert [("/v1/bulletins", 500)] == [(each["route"], each["status"]) for each in failed]
    assert any(
        "OperationalError" in each.get("error", "") or "ProgrammingError" in each.get("error", "") for each in entries
    )
    assert [] == [
        word
        for word in (
            marker,
            published.id,
            line.id,
            token,
            token[-40:],
            tool.id,
            tool.text[-40:],
            base64.b64encode(f"lintas:{tool.text}".encode()).decode()[12:52],
            str(code),
            secret,
            key.rpartition("+")[2],
            "receiver.invalid",
        )
        if word in told
    ]
