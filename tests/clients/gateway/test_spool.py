"""The spool folder, looked at as the gateway does, second by second."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients.gateway.database import Database
from clients.gateway.intake import Intake
from clients.gateway.postings import Posting
from clients.gateway.rules import Rules
from clients.gateway.spool import FILES_MAX, UNREADABLE_S, Spool, read_file
from lintas.clock import now_us
from lintas.imported import Choices
from tests.gateways import CHOICES

DRAFT = {"payload": {"title": "Fictional", "summary": "Simulated."}}
BUNDLE = {
    "type": "bundle",
    "objects": [
        {"type": "domain-name", "id": "domain-name--1", "value": "lotus-loan.example"},
        {"type": "malware", "id": "malware--1", "name": "FicRAT"},
    ],
}


class Folder:
    """A spool with a gateway's file behind it, and no hub."""

    def __init__(self, path: Path) -> None:
        """Make the folder."""
        self.path = path / "spool"
        self.database = Database(path / "gateway")
        self.later_s = 0
        self.open()
        self.spool.prepare()

    def open(self, choices: Choices = CHOICES) -> None:
        """Look with a gateway that has just started."""
        rules = Rules(choices=choices)
        self.intake = Intake(self.database, rules, "sg-fiu", clock=now_us, report=lambda _text: None)
        self.spool = Spool(self.path, self.intake)

    def put(self, members: Any, name: str = "a.json") -> Path:
        """Put a file there."""
        path = self.path / name
        path.write_text(members if isinstance(members, str) else json.dumps(members))
        return path

    def look(self, after_s: int = 3) -> None:
        """Look twice, the second time so much later."""
        self.spool.step(now_us() + self.later_s * 1_000_000)
        self.later_s += after_s
        self.spool.step(now_us() + self.later_s * 1_000_000)

    def settle(self, change: Callable[[Any, int], Any], *values: Any) -> None:
        """Decide on every draft."""
        for row in (*self.intake.postings.held(), *self.intake.postings.approved()):
            change(self.intake.postings, row.number, *values)

    def names(self) -> list[str]:
        """Return every file as folder and name."""
        return sorted(str(each.relative_to(self.path)) for each in self.path.rglob("*") if each.is_file())

    def postings(self) -> list[Posting]:
        """Return all postings."""
        return self.intake.postings.newest(1_000)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty spool."""
    return Folder(tmp_path)


def publish(postings: Any, number: int) -> None:
    """Let a draft be published."""
    postings.approve(number, ["id-police"])
    postings.publish(number, "L" * 43, 7)


def test_held_then_done(folder: Folder) -> None:
    """A file waits in `taken` and ends in `done`, with a text that says as what and what is not in it."""
    folder.put(BUNDLE)
    folder.look()
    before = folder.names()
    folder.settle(publish)
    folder.look()

    assert (["taken/1-a.json"], ["done/1-a.json", "done/1-a.json.txt"]) == (before, folder.names())
    told = (folder.path / "done/1-a.json.txt").read_text()
    assert f"draft 1: published as {'L' * 43} at index 7\n" in told
    assert "not carried over: malware--1: malware has no place in a bulletin" in told


@pytest.mark.parametrize(
    ("members", "choices", "words"),
    [
        (BUNDLE, Choices(release_to=("id-police",)), "give --topic"),
        ({"hello": 1}, CHOICES, "neither a STIX bundle"),
        ({"type": "bundle", "objects": []}, CHOICES, "Nothing in it can stand in a bulletin"),
        ('{"a": 1, "a": 2}', CHOICES, "duplicate member"),
    ],
)
def test_refused(folder: Folder, members: Any, choices: Choices, words: str) -> None:
    """A file that cannot be used ends in `failed` with the reason."""
    folder.open(choices)
    folder.put(members)
    folder.look(UNREADABLE_S + 1)

    assert ["failed/1-a.json", "failed/1-a.json.txt"] == folder.names()
    assert words in (folder.path / "failed/1-a.json.txt").read_text()


def test_refused_by_the_hub(folder: Folder) -> None:
    """What the hub refused is told in its words."""
    folder.put(DRAFT)
    folder.look()
    folder.settle(lambda postings, number: postings.approve(number, []))
    folder.settle(lambda postings, number: postings.refuse(number, "topic-not-granted: ask."))
    folder.look()

    assert "draft 1: refused: topic-not-granted: ask." in (folder.path / "failed/1-a.json.txt").read_text()


def test_discarded(folder: Folder) -> None:
    """What an officer discarded has failed."""
    folder.put(DRAFT)
    folder.look()
    folder.settle(lambda postings, number: postings.discard(number))
    folder.look()

    assert "discarded by an officer" in (folder.path / "failed/1-a.json.txt").read_text()


def test_still_written_to(folder: Folder) -> None:
    """A file that changes between two looks is not read."""
    path = folder.put('{"payload": ')
    for part in ('{"title": "Fictional", ', '"summary": "Simulated."}}'):
        folder.look(0)
        with path.open("a") as file:
            file.write(part)
    folder.look(0)

    assert (["a.json"], []) == (folder.names(), folder.postings())


def test_slow_writer(folder: Folder) -> None:
    """A file that is no JSON yet is left for a minute; then it counts as broken."""
    folder.put('{"payload": ')
    folder.look()
    before = folder.names()
    folder.look(UNREADABLE_S)

    assert (["a.json"], ["failed/1-a.json", "failed/1-a.json.txt"]) == (before, folder.names())


def test_completed_late(folder: Folder) -> None:
    """A slow writer that goes on within the minute loses nothing."""
    path = folder.put('{"payload": ')
    folder.look()
    path.write_text(json.dumps(DRAFT))
    folder.look()

    assert ["taken/1-a.json"] == folder.names()


def test_not_for_us(folder: Folder) -> None:
    """Hidden files, other suffixes, folders and links are left alone."""
    for name in (".a.json", "a.tmp", "a.json.part"):
        folder.put(DRAFT, name)
    (folder.path / "folder.json").mkdir()
    outside = folder.path.parent / "secret.json"
    outside.write_text(json.dumps(DRAFT))
    (folder.path / "link.json").symlink_to(outside)
    os.mkfifo(folder.path / "pipe.json")
    folder.look()

    assert [] == folder.postings()


@pytest.mark.parametrize("name", [b"a" * 250 + b".json", "\U0001f600".encode() * 60 + b".json", b"\xff\xfe.json"])
def test_odd_names(folder: Folder, name: bytes) -> None:
    """A name that leaves no room for a number, or is no text, stops nothing."""
    (folder.path / os.fsdecode(name)).write_text(json.dumps(DRAFT))
    folder.look()
    folder.settle(publish)
    folder.look()

    assert 2 == len(list((folder.path / "done").iterdir()))
    assert ["published"] == [each.state for each in folder.postings()]


def test_fault_of_ours(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file at which our own reading fails is put aside, and the next one is taken."""
    take = folder.intake.take_bytes

    def fail(data: bytes, *, channel: str, name: str) -> Posting:
        if name == "a.json":
            raise KeyError(name)
        return take(data, channel=channel, name=name)

    monkeypatch.setattr(folder.intake, "take_bytes", fail)
    folder.put(DRAFT)
    folder.put(DRAFT, "b.json")
    folder.look()

    assert ["failed/0-a.json", "failed/0-a.json.txt", "taken/1-b.json"] == folder.names()
    assert "could not read this: KeyError" in (folder.path / "failed/0-a.json.txt").read_text()


def test_exchanged_for_a_link(folder: Folder) -> None:
    """A file that becomes a link, or goes, between the look and the reading is not read."""
    outside = folder.path.parent / "secret.json"
    outside.write_text(json.dumps(DRAFT))
    link = folder.path / "a.json"
    link.symlink_to(outside)

    assert [None, None] == [read_file(link), read_file(folder.path / "gone.json")]


def test_same_file_twice(folder: Folder) -> None:
    """The same content under another name is the same posting, before and after it was published."""
    folder.put(DRAFT)
    folder.put(DRAFT, "b.json")
    folder.look()
    folder.settle(publish)
    folder.put(DRAFT, "c.json")
    folder.look()

    assert 1 == len(folder.postings())
    assert ["done/1-a.json", "done/1-b.json", "done/1-c.json"] == [
        each for each in folder.names() if each[-3:] != "txt"
    ]


def test_killed_before_it_was_moved(folder: Folder) -> None:
    """A file that was kept and not moved is known at the next look."""
    path = folder.put(DRAFT)
    folder.intake.take_bytes(path.read_bytes(), channel="spool", name=path.name)
    folder.open()
    folder.look()

    assert (1, ["taken/1-a.json"]) == (len(folder.postings()), folder.names())


def test_killed_before_it_was_settled(folder: Folder) -> None:
    """A file whose text is written and that was not moved is moved at the next look."""
    folder.put(DRAFT)
    folder.look()
    folder.settle(publish)
    (folder.path / "done/1-a.json.txt").write_text("half")
    folder.open()
    folder.look()

    assert ["done/1-a.json", "done/1-a.json.txt"] == folder.names()
    assert "published" in (folder.path / "done/1-a.json.txt").read_text()


def test_strange_file_in_taken(folder: Folder) -> None:
    """A file in `taken` that is of no posting is left alone."""
    folder.put(DRAFT, "taken/x.json")
    folder.put(DRAFT, "taken/99-x.json")
    folder.look()

    assert ["taken/99-x.json", "taken/x.json"] == folder.names()


def test_many_files(folder: Folder) -> None:
    """More files than one look takes are taken by the next ones."""
    for number in range(FILES_MAX + 2):
        folder.put(DRAFT | {"payload": {"title": f"Fictional {number}", "summary": "Simulated."}}, f"{number}.json")
    folder.look()
    folder.look()

    assert FILES_MAX + 2 == len(folder.postings())


def test_for_this_user_alone(folder: Folder) -> None:
    """The folders are closed to others."""
    assert {0o700} == {path.stat().st_mode & 0o777 for path in (folder.path, *folder.path.iterdir())}
