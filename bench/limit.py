"""How fast this machine verifies Ed25519 signatures: the limit of any hub that checks what it takes in.

libsodium (PyNaCl) is the yardstick, `cryptography` is what the hub uses. A check is of about 1.4 KB, as a line is. What
pages are held against is a loop that does for each line what a hub does that does not keep it as it was signed: decode
header with payload, parse both, write them as JSON.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.signing import VerifyKey

from bench.lines import typical_payload
from bench.work import PAGE_LINES

MESSAGE = b"l" * 1_400
SEED = bytes(range(32))
START_S = 1.0
"""Time for the processes to start, so that they measure together."""

CHECKS_A_LOOK = 100
"""Checks between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Checks a second of one process, and what one costs in CPU seconds."""

    a_second: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Limit:
    """Both libraries, measured one after the other: checks a second; `check_cpu_s` is libsodium's.

    `pages_one`: pages of 100 lines that one process parses and writes again in a second.
    """

    libsodium_two: float
    cryptography_one: float
    check_cpu_s: float
    pages_one: float


def measure_limit(seconds: float) -> Limit:
    """Measure libsodium in two processes, then `cryptography` and the loop over pages in one."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        begin_at = time.monotonic() + START_S
        two = [job.result() for job in [pool.submit(count_checks, "libsodium", begin_at, seconds) for _ in range(2)]]
        one = pool.submit(count_checks, "cryptography", time.monotonic(), seconds).result()
        lines = pool.submit(count_checks, "lines", time.monotonic(), seconds).result()
    return Limit(
        libsodium_two=sum(rate.a_second for rate in two),
        cryptography_one=one.a_second,
        check_cpu_s=sum(rate.cpu_s for rate in two) / len(two),
        pages_one=lines.a_second / PAGE_LINES,
    )


def count_checks(library: str, begin_at: float, seconds: float) -> Rate:
    """Verify one signature again and again from `begin_at` (monotonic seconds) on."""
    check = _checker(library)
    check()
    time.sleep(max(0.0, begin_at - time.monotonic()))
    began, cpu_began, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() < began + seconds:
        for _ in range(CHECKS_A_LOOK):
            check()
        count += CHECKS_A_LOOK
    return Rate(count / (time.monotonic() - began), (time.process_time() - cpu_began) / count)


def _checker(library: str) -> Callable[[], object]:
    if library == "lines":
        return lambda: write_again(LINE)
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    public, signature = private.public_key().public_bytes_raw(), private.sign(MESSAGE)
    if library == "libsodium":
        sodium = VerifyKey(public)
        return lambda: sodium.verify(MESSAGE, signature)
    openssl = Ed25519PublicKey.from_public_bytes(public)
    return lambda: openssl.verify(signature, MESSAGE)


def write_again(line: bytes) -> bytes:
    """Decode a line's header with its payload, write both as JSON."""
    parts = [urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in line.split(b".")[:2]]
    header, payload = map(json.loads, parts)
    return json.dumps({**header, "content": payload}).encode()


def _line() -> bytes:
    parts = ({"typ": "vnd.lintas.bulletin", **dict.fromkeys("abcdefgh", "x" * 20)}, typical_payload(1))
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join((*encoded, b"s" * 86))


LINE = _line()
