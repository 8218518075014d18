"""The ways of HTTP that both clients share: requests, responses as httpx has them, limits, pauses."""

from __future__ import annotations

import random
import ssl
from pathlib import Path
from typing import Any

import httpx

from lintas import follow as following
from lintas.errors import BadSettings, HubUnreachable
from lintas.request import UNAVAILABLE, Request, Response

PAUSES_S = (0.2, 1.0, 3.0, None)
"""Pauses between the attempts at one request; None ends them and the hub counts as unreachable."""

TIMEOUT_S = 60.0
FOLLOW_S = 5.0
"""Pause between two looks at the feed when nothing is new and the hub does not wait."""

TOO_MANY = 429

RETRY_AFTER_S_MAX = 10
"""The longest pause that a hub may ask for while somebody waits for the answer; a longer one is the caller's."""

RETRY_AFTER_DIGITS_MAX = 6

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


def trusted(ca: Path | None, url: str) -> ssl.SSLContext:
    """Return what a hub's TLS certificate must come from: these certificates alone, by default the usual authorities.

    Where there is no TLS nobody is trusted: to read the usual authorities takes longer than most commands.

    Raises BadSettings when the file cannot be read or holds no certificate.
    """
    if ca is None:
        return httpx.create_ssl_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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


def pause_after(response: Response, pause_s: float) -> float | None:
    """Return the pause before the same request is sent again, None when its answer stands.

    It is at least as long as the hub asks, and `pause_s` when nothing is asked.
    """
    text = response.headers.get("retry-after", "")
    asked = int(text) if text.isascii() and text.isdigit() and len(text) <= RETRY_AFTER_DIGITS_MAX else None
    if asked is not None and asked <= RETRY_AFTER_S_MAX and response.status in UNAVAILABLE | {TOO_MANY}:
        return max(pause_s, float(asked))
    return pause_s if response.status in UNAVAILABLE else None


def parts_of(request: Request) -> dict[str, Any]:
    """Return an operation's request as httpx takes it."""
    headers = dict(request.headers) | {"Accept-Encoding": "identity"}
    if request.media:
        headers["Content-Type"] = request.media
    return {"method": request.method, "url": request.path, "content": request.body or None, "headers": headers}


def response_of(answer: httpx.Response, body: bytes) -> Response:
    """Return what an operation needs of httpx's response."""
    return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)
