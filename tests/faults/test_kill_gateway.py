"""A gateway killed again and again loses nothing that was posted, and publishes nothing twice."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event

import httpx

from broker import exercise
from clients.cli import cli
from clients.gateway.guard import read_tokens
from clients.gateway.place import beside
from tests.conftest import ExerciseHub, wait_until
from tests.gateways import alert
from tests.processes import free_port, warm

PARTY, READER, OTHER = "sg-fiu", "id-police", "my-police"
KILLS = 5
SEED = 20261127
LIFE_S = (0.1, 1.5)
"""Up to longer than a file takes from the spool to its receipt, so that kills fall before, within and after."""


def run(environ: dict[str, str], words: list[str]) -> None:
    """Run a gateway in a process of its own."""
    os.environ.update(environ)
    cli(words, standalone_mode=False)


@dataclass
class Killed:
    """A gateway that is killed, and what tools posted to it."""

    hub: ExerciseHub
    spool: Path
    port: int = field(default_factory=free_port)
    titles: list[str] = field(default_factory=list)
    process: BaseProcess | None = None

    @property
    def identity(self) -> Path:
        """Whose gateway it is."""
        return exercise.identity_path(self.hub.data, PARTY)

    def start(self) -> None:
        """Start it and wait until it answers."""
        environ = {
            "LINTAS_HUB": self.hub.url,
            "LINTAS_IDENTITY": str(self.identity),
            "LINTAS_PASSPHRASE_FILE": str(self.hub.data / "passphrase"),
        }
        words = ["gateway", "--port", str(self.port), "--spool", str(self.spool), "--publish"]
        words += ["--topic", "cyber.scam", "--to", READER, "--tlp", "AMBER"]
        self.process = warm().Process(target=run, args=(environ, words), daemon=True)
        self.process.start()
        wait_until(self.is_up)

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.join()

    def is_up(self) -> bool:
        """Tell whether it answers."""
        with suppress(httpx.TransportError, OSError):
            return self.ask("GET", "/v1/status").status_code == 200
        return False

    def ask(self, method: str, path: str, body: bytes | None = None, wait_s: int = 0) -> httpx.Response:
        """Ask as a tool does."""
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        token = read_tokens(beside(self.identity, ".tokens")).post
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, content=body, headers=headers, auth=("t", token), timeout=wait_s + 5)

    def post(self, title: str) -> None:
        """Post a draft over HTTP, again until it was taken."""
        body = draft(title)
        while True:
            with suppress(httpx.TransportError):
                if self.ask("POST", "/v1/postings", body).status_code in (200, 202):
                    return
            self.start()

    def drop(self, title: str) -> None:
        """Put a draft into the spool, as a program does that knows how."""
        aside = self.spool / f".{title}"
        aside.write_bytes(draft(title))
        # Nobody writes to it any more, so that it is taken within a short life.
        os.utime(aside, (1, 1))
        aside.rename(self.spool / f"{title}.json")


def draft(title: str) -> bytes:
    """Write a draft."""
    return json.dumps({"tlp": "AMBER", "payload": {"title": title, "summary": "Fictional."}}).encode()


def test_kills(exercise_hub: ExerciseHub, tmp_path: Path) -> None:
    """After kills at any moment each posting is published once, posted again or not, and every bulletin was taken."""
    chance, pause, killed = random.Random(SEED), Event(), Killed(exercise_hub, tmp_path / "spool")
    other = exercise_hub.client(OTHER)
    killed.start()
    for life in range(KILLS):
        for name in (f"http-{life}", f"spool-{life}"):
            killed.titles.append(name)
            killed.post(name) if name.startswith("http") else killed.drop(name)
        other.enqueue(alert(f"in-{life}"), tag=f"in-{life}")
        other.flush()
        pause.wait(chance.uniform(*LIFE_S))
        killed.kill()
        killed.start()
    for name in killed.titles[::2]:
        assert "published" == killed.ask("POST", "/v1/postings", draft(name), wait_s=20).json()["state"]
    wait_until(lambda: len(list((killed.spool / "done").glob("*.json"))) == KILLS)
    wait_until(lambda: sum(killed.ask("GET", "/v1/status").json()["bulletins"].values()) == KILLS)
    killed.kill()

    feed = exercise_hub.client(READER).follow(once=True)
    assert Counter(killed.titles) == Counter(each.content.title for each in feed if each.content is not None)
    assert [] == list((killed.spool / "failed").iterdir())
