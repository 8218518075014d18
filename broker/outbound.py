"""One HTTP call to an address that somebody else chose.

The name is resolved once, what it resolves to is judged (``broker.reach``), and the connection goes to the very address
that was judged: a name that answers otherwise a moment later gains nothing. TLS still proves the name. Nothing survives
a call: no connection, cookie, redirect or proxy. Why a call failed is not told: a reason would describe the operator's
network to whoever chose the address.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from broker.reach import Allowed, reachable
from lintas.webhooks import Address

CALL_S_MAX = 10.0
"""From the name to the last byte taken: a receiver keeps what it gets, and works on it later."""

ANSWER_BYTES_MAX = 4_096
"""A challenge and a little text around it."""

ADDRESSES_MAX = 4
"""Addresses of one host that are tried in turn when a connection fails."""

RESOLVERS = 64
"""Threads that resolve names, made when needed: slow name servers of one agency must not keep others waiting."""

Resolve = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: at most the first bytes of the body; `status` 0 when nothing did, for whatever reason.

    `retry_after_s` is None when the receiver did not put the hub off by seconds.
    """

    status: int
    body: bytes = b""
    retry_after_s: int | None = None

    @property
    def is_good(self) -> bool:
        """Tell whether the receiver took the call over."""
        return 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, the best first; blocks. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Outbound:
    """Calls out. `allow` are the operator's exceptions; `names` and `tls` are the system's unless given."""

    def __init__(
        self, allow: Sequence[Allowed], *, names: Resolve = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        """Take the exceptions, who resolves names, whom TLS trusts."""
        self._allow = allow
        self._names = names
        self._tls = tls
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="lintas-resolver")

    def close(self) -> None:
        """Wait for nobody: a name server may take its time."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def post(self, address: Address, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a body; return the answer, which says nothing when none came in time."""
        try:
            async with asyncio.timeout(CALL_S_MAX):
                for ip in await self._addresses(address):
                    try:
                        return await self._exchange(_request(address, ip, headers, body))
                    except httpx.ConnectError:
                        continue
        except (httpx.HTTPError, OSError, TimeoutError, ValueError):
            pass
        return Answer(0)

    async def _addresses(self, address: Address) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._resolvers, self._names, address.host, address.port)
        return reachable(address, found, self._allow)[:ADDRESSES_MAX]

    async def _exchange(self, request: httpx.Request) -> Answer:
        # Read with the first call: most hubs make none, and a hundred authorities take a tenth of a second.
        tls: ssl.SSLContext = self._tls or await asyncio.get_running_loop().run_in_executor(self._resolvers, _trusted)
        self._tls = tls
        # A transport of its own: a kept connection is found again by its address, and would serve another name there.
        async with httpx.AsyncHTTPTransport(verify=tls, trust_env=False, retries=0) as transport:
            response = await transport.handle_async_request(request)
            taken = b""
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for chunk in response.stream:
                taken += chunk
                if len(taken) >= ANSWER_BYTES_MAX:
                    break
            await response.aclose()
        return Answer(response.status_code, taken[:ANSWER_BYTES_MAX], _seconds(response.headers.get("retry-after", "")))


def _request(address: Address, ip: str, headers: Mapping[str, str], body: bytes) -> httpx.Request:
    given = {
        "Host": address.authority,
        "User-Agent": "lintas",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **headers,
    }
    url = httpx.URL(scheme=address.scheme, host=ip, port=address.port, raw_path=address.target.encode())
    return httpx.Request("POST", url, headers=given, content=body, extensions={"sni_hostname": address.host})


def _trusted() -> ssl.SSLContext:
    # The bundle that comes with the client, with what the operator's system trusts besides.
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _seconds(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004
