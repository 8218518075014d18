"""The ways of HTTP that both clients share: requests, responses as httpx has them, limits, pauses."""

from __future__ import annotations

import random
import ssl
from pathlib import Path
from typing import Any

import httpx

from lintas import follow as following
from lintas.errors import BadSettings, HubUnreachable
from lintas.request import Request, Response

PAUSES_S = (0.2, 1.0, 3.0, None)
"""Pauses between the attempts at one request; None ends them and the hub counts as unreachable."""

TIMEOUT_S = 60.0
FOLLOW_S = 5.0
"""Pause between two looks at the feed when nothing is new and the hub does not wait."""

SILENCE_S = 45.0
"""Three heartbeats of the hub: a stream that is silent for longer is dead."""

STREAM_TIMEOUT = httpx.Timeout(TIMEOUT_S, read=SILENCE_S)

RESPONSE_BYTES_MAX = 256 * 1024 * 1024
"""A page holds at most 500 bulletins of 256 KiB; a hub that sends more is not listened to."""


class Room:
    """How much of one response may still be taken."""

    def __init__(self) -> None:
        """Begin with the limit."""
        self._left = RESPONSE_BYTES_MAX

    def take(self, chunk: bytes) -> bytes:
        """Return the chunk, or raise HubUnreachable when the response is larger than any hub needs."""
        self._left -= len(chunk)
        if self._left < 0:
            raise HubUnreachable(f"The answer is larger than {RESPONSE_BYTES_MAX} bytes; it was not read.")
        return chunk


def trusted(ca: Path | None) -> ssl.SSLContext | bool:
    """Return what a hub's TLS certificate must come from: these certificates alone, by default the usual authorities.

    Raises BadSettings when the file cannot be read or holds no certificate.
    """
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as fault:
        raise BadSettings(f"LINTAS_CA: {ca} holds no certificates in PEM form: {fault.strerror or fault}.") from fault


def is_stream(answer: httpx.Response) -> bool:
    """Tell whether an answer is a stream that must not be read whole."""
    return answer.is_success and answer.headers.get("content-type", "").startswith(following.EVENTS_MEDIA)


def spread(seconds: float) -> float:
    """Return a pause of half to all of this, so that those whom one outage cut off do not come back together."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - guards nothing


def parts_of(request: Request) -> dict[str, Any]:
    """Return an operation's request as httpx takes it."""
    headers = dict(request.headers) | {"Accept-Encoding": "identity"}
    if request.media:
        headers["Content-Type"] = request.media
    return {"method": request.method, "url": request.path, "content": request.body or None, "headers": headers}


def response_of(answer: httpx.Response, body: bytes) -> Response:
    """Return what an operation needs of httpx's response."""
    return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)
