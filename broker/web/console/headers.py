"""What every answer of the console tells the browser to refuse."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

_DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    # No policy may be made: the console's script builds elements, never markup.
    "trusted-types 'none'",
)
POLICY = "; ".join(_DIRECTIVES)

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}

STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}
"""For a year after a visit over TLS the browser uses nothing else."""


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers of an answer to this request; a proxy says that it came over TLS."""
    # Whoever says so itself only binds its own browser.
    forwarded = request.headers.get("x-forwarded-proto")
    return headers_for("https" if forwarded == "https" else request.url.scheme)


def headers_for(scheme: str) -> dict[str, str]:
    """Return the headers of an answer to a request that came by this scheme."""
    return {**HEADERS, **(STRICT_TRANSPORT if scheme == "https" else {})}
