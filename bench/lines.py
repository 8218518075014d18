"""The signed lines that are posted: unique, made before the run, of the size a typical bulletin has.

Every other one goes to all partners, the rest to eight named agencies; four agencies sign in turn. All are SIMULATED.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broker.exercise import identity_path
from lintas.clock import now_us
from lintas.event import US_PER_S
from lintas.header import BULLETIN, EVERYONE, TOKEN
from lintas.keys import Identity, load_identity
from lintas.line import sign
from lintas.strict import canonical

ISSUERS = ("my-police", "sg-police", "th-police", "ph-coastguard")
READER = "id-police"
NAMED = ("bn-cert", "id-police", "kh-police", "la-police", "my-cert", "mm-police", "sg-cert", "vn-police")
LIFE_S = 7 * 86_400
TOKEN_LIFE_S = 300
SUMMARY = (
    "SIMULATED. Measured bulletin {number}. A group offers well-paid work in customer service over messaging groups, "
    "collects travel documents at the airport and moves applicants across the border by night. Transfers run through "
    "the wallet below."
)


def write_lines(data: Path, path: Path, count: int, *, to_all: bool = False, first: int = 0) -> None:
    """Sign `count` bulletins by identities of an exercised hub; write them to a file, one a line.

    With `to_all` every one goes to all partners. They tell of the numbers from `first` on: a number that was signed in
    the same second is the same line.
    """
    identities = [open_identity(data, party) for party in ISSUERS]
    now = now_us() // US_PER_S
    with path.open("wb") as file:
        for number in range(first, first + count):
            identity = identities[number % len(identities)]
            header = typical_header(identity, now, to_all=to_all or number % 2 == 0)
            file.write(sign(header, canonical(typical_payload(number)), identity.key) + b"\n")


def make_token(data: Path, reader: str = READER) -> str:
    """Sign a read token of the agency that pulls; it outlives one cell."""
    identity = open_identity(data, reader)
    now = now_us() // US_PER_S
    members = {"typ": TOKEN, "iss": reader, "aud": identity.hub.name, "iat": now, "exp": now + TOKEN_LIFE_S}
    return sign({**members, "scope": "read"}, b"", identity.key).decode()


def open_identity(data: Path, party: str) -> Identity:
    """Open the identity of a party of an exercised hub."""
    return load_identity(identity_path(data, party), (data / "passphrase").read_bytes().strip())


def typical_header(identity: Identity, now: int, *, to_all: bool) -> dict[str, Any]:
    return {
        "typ": BULLETIN,
        "iss": identity.party,
        "aud": identity.hub.name,
        "iat": now,
        "exp": now + LIFE_S,
        "kind": "advisory",
        "topic": "cyber.scam",
        "tlp": "GREEN" if to_all else "AMBER",
        "release_to": list(EVERYONE if to_all else sorted(set(NAMED) - {identity.party})),
        "urgency": "routine",
    }


def typical_payload(number: int) -> dict[str, Any]:
    """Return the content of a typical bulletin."""
    indicators = [
        {"type": "phone", "value": f"+6011{number:08d}", "role": "contact"},
        {"type": "domain", "value": f"offer-{number}.example", "role": "phishing"},
        {"type": "wallet-evm", "value": f"0x{number:040x}", "role": "payment"},
    ]
    return {
        "title": f"SIMULATED: recruitment for a scam compound, measured bulletin {number}",
        "summary": SUMMARY.format(number=number),
        "case_ref": f"SIM/2026/{number:06d}",
        "severity": "moderate",
        "grading": {"source": "B", "information": "2"},
        "handling": ["H0"],
        "caveats": ["non-punishment"],
        "languages": ["en"],
        "indicators": indicators,
    }
