"""The ways of HTTP that both clients share: requests, responses as httpx has them, limits, pauses, streams."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Iterator
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


class Ear:
    """At most one open stream of a client without an event loop."""

    def __init__(self, http: httpx.Client) -> None:
        """Begin with none."""
        self._http = http
        self._answer: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def listen(self, request: Request) -> Response:
        """Open a stream; anything else than a stream is read whole."""
        self.close()
        sent = self._http.build_request(**parts_of(request), timeout=STREAM_TIMEOUT)
        try:
            self._answer = self._http.send(sent, stream=True)
            if is_stream(self._answer):
                self._chunks = self._answer.iter_raw()
                return response_of(self._answer, b"")
            room = Room()
            return response_of(self._answer, b"".join(room.take(chunk) for chunk in self._answer.iter_bytes()))
        except httpx.RequestError as fault:
            raise HubUnreachable(f"{self._http.base_url}: {fault!s:.200}") from fault

    def hear(self) -> bytes:
        """Return the next bytes, none at the end."""
        try:
            return next(self._chunks, b"")
        except httpx.RequestError as fault:
            raise HubUnreachable(f"The stream broke: {fault!s:.200}") from fault

    def close(self) -> None:
        """Close the stream."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None


class AsyncEar:
    """At most one open stream of a client on an event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """Begin with none."""
        self._http = http
        self._answer: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def listen(self, request: Request) -> Response:
        """Open a stream; anything else than a stream is read whole."""
        await self.aclose()
        sent = self._http.build_request(**parts_of(request), timeout=STREAM_TIMEOUT)
        try:
            self._answer = await self._http.send(sent, stream=True)
            if is_stream(self._answer):
                self._chunks = self._answer.aiter_raw()
                return response_of(self._answer, b"")
            room = Room()
            return response_of(self._answer, b"".join([room.take(chunk) async for chunk in self._answer.aiter_bytes()]))
        except httpx.RequestError as fault:
            raise HubUnreachable(f"{self._http.base_url}: {fault!s:.200}") from fault

    async def hear(self) -> bytes:
        """Return the next bytes, none at the end."""
        assert self._chunks is not None
        try:
            return await anext(self._chunks, b"")
        except httpx.RequestError as fault:
            raise HubUnreachable(f"The stream broke: {fault!s:.200}") from fault

    async def aclose(self) -> None:
        """Close the stream."""
        if self._answer is not None:
            await self._answer.aclose()
            self._answer = None
