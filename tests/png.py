"""Pictures of the screen made small: PNG (ISO/IEC 15948) with a palette of at most 256 colours.

By the standard library alone: what a browser writes in, the same picture out.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

MAGIC = b"\x89PNG\r\n\x1a\n"
COLOURS_MAX = 256
APART = (900, 300, 100, 30, 0)
"""Squares of distances: colours are chosen far apart first, so that a rare one of its own keeps its place."""

Colour = tuple[int, int, int]


def shrink(data: bytes) -> bytes:
    """Return the same picture, each pixel as the nearest of its commonest colours."""
    width, height, pixels = decode(data)
    counted = Counter(pixels)
    palette = _palette(counted)
    places = {colour: min(range(len(palette)), key=lambda at, of=colour: _apart(palette[at], of)) for colour in counted}  # type: ignore[misc]
    indexes = bytes(map(places.__getitem__, pixels))
    rows = b"".join(b"\0" + indexes[start : start + width] for start in range(0, len(indexes), width))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = {b"IHDR": header, b"PLTE": bytes(sum(palette, ())), b"IDAT": zlib.compress(rows, 9), b"IEND": b""}
    return MAGIC + b"".join(_chunk(name, body) for name, body in chunks.items())


def size(data: bytes) -> tuple[int, int]:
    """Return width and height; ValueError when this is no PNG."""
    if not data.startswith(MAGIC) or data[12:16] != b"IHDR":
        raise ValueError("not a PNG")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def decode(data: bytes) -> tuple[int, int, list[Colour]]:
    """Return width, height and the colours of a picture with eight bits a channel, or with a palette of such."""
    chunks = list(_chunks(data))
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or kind not in (2, 3, 6) or rest != [0, 0, 0]:
        raise ValueError("a PNG of another kind than browsers write")
    channels = {2: 3, 3: 1, 6: 4}[kind]
    flat = _unfiltered(zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT")), width, channels)
    if kind == 3:
        table = next(body for name, body in chunks if name == b"PLTE")
        return width, height, [(table[3 * at], table[3 * at + 1], table[3 * at + 2]) for at in flat]
    return width, height, list(zip(flat[0::channels], flat[1::channels], flat[2::channels], strict=True))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(MAGIC)
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += length + 12


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _unfiltered(rows: bytes, width: int, channels: int) -> bytes:
    """Undo the five filters of the format (section 9)."""
    stride, found = width * channels, bytearray()
    above = bytes(stride)
    for start in range(0, len(rows), stride + 1):
        kind, row = rows[start], bytearray(rows[start + 1 : start + 1 + stride])
        if kind == 2:
            row = bytearray((one + up) & 255 for one, up in zip(row, above, strict=True))
        elif kind:
            _add_left(row, above, kind, channels)
        found += row
        above = bytes(row)
    return bytes(found)


def _add_left(row: bytearray, above: bytes, kind: int, channels: int) -> None:
    for at, one in enumerate(row):
        left, corner = (row[at - channels], above[at - channels]) if at >= channels else (0, 0)
        up = above[at]
        if kind == 1:
            add = left
        elif kind == 3:
            add = (left + up) >> 1
        else:
            to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            add = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
        row[at] = (one + add) & 255


def _palette(counted: Counter[Colour]) -> list[Colour]:
    ranked = [colour for colour, _ in counted.most_common()]
    chosen: dict[Colour, None] = {}
    for apart in APART:
        for colour in ranked:
            if len(chosen) == COLOURS_MAX:
                return list(chosen)
            if colour not in chosen and all(_apart(colour, each) > apart for each in chosen):
                chosen[colour] = None
    return list(chosen)


def _apart(one: Colour, other: Colour) -> int:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2
