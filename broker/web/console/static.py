"""Style, script, symbols: read once, served from memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from broker.web.charging import public
from broker.web.console.headers import headers_of
from broker.web.console.rendering import Page
from broker.web.http import check_params
from lintas.errors import NotFound

MEDIA: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

router = APIRouter(route_class=Page)


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is served. `tag` is strong: it is a digest of the bytes."""

    data: bytes
    media: str
    tag: str


@router.get("/console/static/{name}")
async def static(request: Request, name: str) -> Response:
    """Give a file; nothing about it is secret, and a browser asks each time whether it changed."""
    check_params(request, ())
    public(request)
    file = read_files().get(name)
    if file is None:
        raise NotFound
    headers = headers_of(request) | {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, headers=headers, media_type=file.media)


@cache
def read_files() -> Mapping[str, File]:
    """Return every file of the folder `static` by its name."""
    found = {}
    for each in files("broker.web.console").joinpath("static").iterdir():
        ending = "." + each.name.rpartition(".")[2]
        if ending in MEDIA:
            data = each.read_bytes()
            found[each.name] = File(data, MEDIA[ending], f'"{hashlib.sha256(data).hexdigest()[:32]}"')
    return found
