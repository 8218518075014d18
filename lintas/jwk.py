"""A public key as a JWK.

Spec: docs/spec/line.md; RFC 7638 (thumbprint), RFC 8037 (OKP keys).
"""

from __future__ import annotations

import hashlib

from lintas import ed25519
from lintas.errors import MalformedPayload
from lintas.strict import b64u, canonical, unb64u

KEY_BYTES = 32


def jwk(public: bytes) -> dict[str, str]:
    """Return the public key as an RFC 8037 JWK with its required members only."""
    return {"crv": "Ed25519", "kty": "OKP", "x": b64u(public)}


def thumbprint(public: bytes) -> str:
    """Return the RFC 7638 thumbprint of a public key, its `kid`."""
    return b64u(hashlib.sha256(canonical(jwk(public))).digest())


def public_of_jwk(value: object, *, member: str = "jwk") -> bytes:
    """Read a JWK strictly and return its 32 bytes; raise MalformedPayload, or WeakKey for an unsound key."""
    if not isinstance(value, dict) or set(value) != {"crv", "kty", "x"}:
        raise MalformedPayload("A public key has exactly `kty`, `crv` and `x`.", member=member)
    if (value["kty"], value["crv"]) != ("OKP", "Ed25519") or not isinstance(value["x"], str):
        raise MalformedPayload("A public key is `OKP` on `Ed25519`.", member=member)
    try:
        public = unb64u(value["x"])
    except ValueError as fault:
        raise MalformedPayload("`x` is not canonical base64url.", member=f"{member}.x") from fault
    if len(public) != KEY_BYTES:
        raise MalformedPayload("`x` has 32 bytes.", member=f"{member}.x")
    ed25519.check_public_key(public)
    return public
