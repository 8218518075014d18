"""The newest checkpoint outside the database, replaced whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.outside import SECTOR_BYTES, Outside


@pytest.mark.parametrize(
    "notes",
    [
        [b"note-1", b"note-2", b"note-3"],
        [b"note-9", b"note-10", b"note-11"],
        [b"long-note-1", b"note"],
        [b"1" * SECTOR_BYTES, b"2" * SECTOR_BYTES],
        [b"1" * (SECTOR_BYTES + 1), b"2" * (SECTOR_BYTES + 1)],
    ],
    ids=["same length", "longer", "shorter", "a sector", "more than a sector"],
)
def test_newest_is_kept(tmp_path: Path, notes: list[bytes]) -> None:
    """What is kept is the newest note, whatever its length and that of the one before, and nothing is left beside."""
    outside = Outside(tmp_path / "newest")
    for note in notes:
        outside.keep(note)

        assert note == outside.read()
    assert [tmp_path / "newest"] == list(tmp_path.iterdir())


def test_first_of_a_process(tmp_path: Path) -> None:
    """The first note of a process replaces whatever an earlier one left, of any length."""
    (tmp_path / "newest").write_bytes(b"a longer note of an earlier process")

    Outside(tmp_path / "newest").keep(b"note")

    assert b"note" == (tmp_path / "newest").read_bytes()


@pytest.mark.parametrize(("length", "is_same_file"), [(SECTOR_BYTES, True), (SECTOR_BYTES + 1, False)])
def test_written_over_within_a_sector(tmp_path: Path, length: int, *, is_same_file: bool) -> None:
    """A note of the same length is written over within one sector; a longer one could be torn, and gets a new file."""
    outside = Outside(tmp_path / "newest")
    outside.keep(b"1" * length)
    (tmp_path / "link").hardlink_to(tmp_path / "newest")

    outside.keep(b"2" * length)

    assert is_same_file == (tmp_path / "link").samefile(tmp_path / "newest")


def test_removed_file(tmp_path: Path) -> None:
    """A file that somebody removed is there again with the next checkpoint."""
    outside = Outside(tmp_path / "newest")
    outside.keep(b"note-1")
    (tmp_path / "newest").unlink()

    outside.keep(b"note-2")

    assert b"note-2" == outside.read()
