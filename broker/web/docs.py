"""The OpenAPI document as one plain page, without script, without anything fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

from broker.web.charging import public
from broker.web.http import check_params, json_response

_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "h2{font-size:14px;margin:1.5rem 0 0}code,pre{font-family:ui-monospace,monospace}p{margin:.2rem 0}"
    "pre{overflow:auto;margin:.2rem 0}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """List every endpoint with its parameters and media types; /openapi.json has the rest."""
    check_params(request, ())
    public(request)
    document = request.app.openapi()
    sections = [
        _section(path, method, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Lintas: HTTP</title><style>{_STYLE}</style><h1>{escape(document['info']['title'])}</h1>"
        f'<p>{escape(document["info"]["description"])} Machine-readable: <a href="/openapi.json">openapi.json</a>.</p>'
        f"{''.join(sections)}</html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(page, headers=headers, media_type="text/html")


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Give the OpenAPI document."""
    check_params(request, ())
    public(request)
    return json_response(request.app.openapi())


def _section(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}</h2>"]
    if operation.get("description"):
        parts.append(f"<p>{escape(operation['description'])}</p>")
    for parameter in operation.get("parameters", ()):
        text = f"{parameter['in']}: {parameter.get('description', '')}"
        parts.append(f"<p><code>{escape(parameter['name'])}</code> {escape(text)}</p>")
    media = operation.get("requestBody", {}).get("content", {})
    if media:
        parts.append(f"<p>Body: <code>{escape(', '.join(media))}</code></p>")
    if not operation["security"]:
        parts.append("<p>No token.</p>")
    return "".join(parts)
