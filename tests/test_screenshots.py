"""Tests of the pictures of the console: all that documents show are there, and all that are there are shown."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.web.console.navigation import ENTRIES
from tests import png
from tests.screenshots import BYTES_MAX, FOLDER, SCHEMES, shots

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PICTURE = re.compile(r"\]\(([^)\s]+\.(?:png|svg|jpg))\)")


def shown() -> dict[Path, list[Path]]:
    """Return the pictures that each document shows or links to."""
    return {page: [(page.parent / each).resolve() for each in PICTURE.findall(page.read_text())] for page in PAGES}


def test_pictures_that_are_shown_are_there() -> None:
    """No document shows a picture that is missing, and the console has some."""
    found = shown()

    assert [] == [each for pictures in found.values() for each in pictures if not each.is_file()]
    assert found[ROOT / "docs/console.md"]
    assert found[ROOT / "README.md"]


def test_pictures_that_are_there_are_shown() -> None:
    """No picture is kept that no document shows."""
    referenced = {each for pictures in shown().values() for each in pictures}

    assert set() == {*FOLDER.glob("*")} - referenced


def test_pictures_are_those_of_the_command() -> None:
    """The command takes just the tracked pictures: every page of the bar, light and dark, at its width."""
    taken = shots({"mule-accounts": "id"})
    desk = {f"{each.name}-{scheme}.png": 1440 for each in taken for scheme in SCHEMES}
    phone = {f"{each.name}-phone-{scheme}.png": 390 for each in taken if each.on_phone for scheme in SCHEMES}

    assert desk | phone == {path.name: png.size(path.read_bytes())[0] for path in FOLDER.glob("*.png")}
    paths = {f"/console/{each.path.partition('?')[0]}" for each in taken}
    assert {entry.path for entry in ENTRIES} <= paths
    assert phone


def test_pictures_are_small() -> None:
    """All pictures together stay small: a repository keeps each version for ever."""
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) <= BYTES_MAX


def test_pictures_say_that_they_are_fictional() -> None:
    """The page with the pictures says that nothing in them is real."""
    assert "fictional" in (ROOT / "docs/console.md").read_text()


COLOUR = st.tuples(*[st.integers(0, 255)] * 3)
FILTERS = range(5)


def written(rows: list[list[png.Colour]], filters: list[int]) -> bytes:
    """Write a picture as browsers do: three bytes a pixel, each row with the filter that is asked for."""
    width, above, data = len(rows[0]), bytes(3 * len(rows[0])), bytearray()
    for row, kind in zip(rows, filters, strict=True):
        flat = bytes(channel for colour in row for channel in colour)
        data.append(kind)
        for at, one in enumerate(flat):
            left, corner = (flat[at - 3], above[at - 3]) if at >= 3 else (0, 0)
            data.append((one - predicted(kind, left, above[at], corner)) & 255)
        above = flat
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(data))), (b"IEND", b""))
    return png.MAGIC + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def predicted(kind: int, left: int, up: int, corner: int) -> int:
    """Return what a filter predicts, as section 9 of the format defines it."""
    near = min((left, up, corner), key=lambda each: abs(left + up - corner - each))
    return (0, left, up, (left + up) // 2, near)[kind]


@given(st.lists(st.lists(COLOUR, min_size=3, max_size=3), min_size=5, max_size=5), st.permutations(FILTERS))
def test_few_colours_stay(rows: list[list[png.Colour]], filters: list[int]) -> None:
    """A picture of at most 256 colours stays the same to the pixel, whatever filters it was written with."""
    small = png.shrink(written(rows, filters))

    assert (3, 5, [colour for row in rows for colour in row]) == png.decode(small)


def test_many_colours_become_near_ones() -> None:
    """Of more colours than the palette has, each pixel gets one that is near; rare ones far from others are kept."""
    rows: list[list[png.Colour]] = [[(x * 4, y * 4, 0) for x in range(40)] for y in range(40)]
    rows[0][0] = (255, 0, 255)
    _, _, pixels = png.decode(png.shrink(written(rows, [0] * 40)))

    assert (255, 0, 255) == pixels[0]
    assert len(set(pixels)) <= 256
    flat = [colour for row in rows for colour in row]
    wide = [max(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in zip(pixels, flat, strict=True)]
    assert max(wide) <= 24


@pytest.mark.parametrize("data", [b"", b"GIF89a", png.MAGIC + bytes(20)])
def test_what_is_no_png(data: bytes) -> None:
    """Something else is refused."""
    with pytest.raises(ValueError, match="PNG"):
        png.size(data)
