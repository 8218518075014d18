"""A folder into which any program puts files for the hub.

A file is read once it has stood still, kept as a posting, then moved: to ``taken`` while it waits for an officer or the
hub, in the end to ``done`` or ``failed`` with a text beside it that says what became of it. Its name then begins with
the number of its posting. Killed at any point, the next look finds the file where it was, knows its content, goes on.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clients.gateway.intake import Intake
from clients.gateway.postings import DISCARDED, PUBLISHED, REFUSED, Posting
from lintas.imported import INPUT_BYTES_MAX
from lintas.keys import write_private
from lintas.strict import parse_object

TAKEN, DONE, FAILED = "taken", "done", "failed"
SUFFIX = ".json"
SETTLE_S = 2
"""A file that nobody wrote to for so long, between two looks, is whole."""

UNREADABLE_S = 60
"""One that is no JSON may still be written by somebody slow."""

FILES_MAX = 100
"""Files of one look, so that those which settle are moved in between."""

NAME_BYTES_MAX, NAME_CHARACTERS_KEPT = 200, 40
"""A name of 255 bytes is the longest; 40 characters are fewer than 200 bytes in any script."""

_NUMBER = re.compile(r"([0-9]{1,15})-.+", re.DOTALL)


@dataclass(slots=True)
class Spool:
    """The folder. Looked at by one thread."""

    folder: Path
    intake: Intake
    _seen: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the folders, for this user alone."""
        for folder in (self.folder, *(self.folder / name for name in (TAKEN, DONE, FAILED))):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def step(self, now_us: int) -> None:
        """Take what has settled, move what is over."""
        for path in self._settled(now_us):
            self._take(path, now_us)
        for path in sorted((self.folder / TAKEN).iterdir()):
            number = _NUMBER.fullmatch(path.name)
            posting = None if number is None else self.intake.postings.get(int(number[1]))
            if posting is not None and posting.is_over:
                self._settle(path, path.name, posting)

    def _settled(self, now_us: int) -> Iterator[Path]:
        found: dict[str, tuple[int, int, int]] = {}
        for entry in sorted(os.scandir(self.folder), key=lambda each: each.name):
            if entry.name.startswith(".") or not entry.name.endswith(SUFFIX) or len(found) >= FILES_MAX:
                continue
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(about.st_mode):
                found[entry.name] = (about.st_ino, about.st_size, about.st_mtime_ns)
        before, self._seen = self._seen, found
        for name, state in found.items():
            is_old = state[2] // 1000 + SETTLE_S * 1_000_000 <= now_us
            if is_old and before.get(name) == state:
                yield self.folder / name

    def _take(self, path: Path, now_us: int) -> None:
        data = read_file(path)
        if data is None:
            return
        is_late = self._seen[path.name][2] // 1000 + UNREADABLE_S * 1_000_000 <= now_us
        if not is_late and not _is_json(data):
            return
        try:
            posting = self.intake.take_bytes(data, channel="spool", name=path.name)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as fault:
            # A fault of ours in reading one file must not stop all others, at this start and the next.
            self._put_aside(path, f"The gateway could not read this: {type(fault).__name__}. Tell its makers.\n")
            return
        name = f"{posting.number}-{_shortened(path.name)}"
        if posting.is_over:
            self._settle(path, name, posting)
        else:
            path.replace(self.folder / TAKEN / name)

    def _put_aside(self, path: Path, why: str) -> None:
        name = f"0-{_shortened(path.name)}"
        write_private(self.folder / FAILED / f"{name}.txt", why.encode())
        path.replace(self.folder / FAILED / name)

    def _settle(self, path: Path, name: str, posting: Posting) -> None:
        folder = self.folder / (DONE if posting.state == PUBLISHED else FAILED)
        # First what became of it: a file that stands there is never without.
        write_private(folder / f"{name}.txt", describe(posting).encode())
        path.replace(folder / name)


def _shortened(name: str) -> str:
    """Return a name, or the end of one that leaves no room for a number before it."""
    return name if len(os.fsencode(name)) <= NAME_BYTES_MAX else name[-NAME_CHARACTERS_KEPT:]


def describe(posting: Posting) -> str:
    """Return what became of a posting, for people."""
    lines = [f"posting {posting.number}: {posting.state}"]
    lines += [] if posting.problem is None else [posting.problem]
    for each in posting.drafts:
        said = {
            PUBLISHED: f"published as {each.line} at index {each.seq}",
            REFUSED: f"refused: {each.problem}",
            DISCARDED: "discarded by an officer",
        }
        lines.append(f"draft {each.number}: {said.get(each.state, each.state)}")
    lines += [f"not carried over: {each.where}: {each.why}" for each in posting.omitted]
    return "\n".join(lines) + "\n"


def read_file(path: Path) -> bytes | None:
    """Return what a regular file holds, up to a byte past the limit; None for one that is gone or became a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        # One byte past the limit is enough to know that it is past it.
        return file.read(INPUT_BYTES_MAX + 1)


def _is_json(data: bytes) -> bool:
    try:
        parse_object(data, floats=True)
    except (ValueError, RecursionError):
        return len(data) > INPUT_BYTES_MAX
    return True
