"""Pages from templates.

`render` fills a template; a value that is missing is an error, a value that is foreign is escaped. `Page` is the class
of the console's routes: a refusal becomes a page that says what to do next.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from broker.web.console import charts, words
from broker.web.console.headers import headers_of
from broker.web.console.navigation import entries_for, is_here
from broker.web.http import hub_of, problem_members, use_problems
from lintas import ways
from lintas.errors import InternalError, LintasError, Refusal, Unauthorized

THEMES = frozenset({"light", "dark"})
THEME_COOKIE = "lintas-theme"
VISITOR = "lintas.visitor"
"""Where the scope of a request keeps who looks, once that is known."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Page(APIRoute):
    """A route that answers a refusal with a page, and stands in no document of the API."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what a route takes."""
        super().__init__(*args, **{**options, "include_in_schema": False})

    def get_route_handler(self) -> Handler:
        """Return the handler; what it raises is shown by `problem_page`."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            use_problems(request, problem_page)
            return await handler(request)

        return handle


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Answer with a page.

    Every template also has `visitor` (or None), `entries` of the bar, `path`, `hub` (its name), `now` (microseconds)
    and `theme`.
    """
    hub = hub_of(request)
    visitor = request.scope.get(VISITOR)
    theme = request.cookies.get(THEME_COOKIE)
    page = environment().get_template(template)
    body = page.render(
        {
            "visitor": visitor,
            "entries": entries_for(visitor.role, request.app.state.console_paths) if visitor else (),
            "path": request.url.path,
            "hub": hub.name,
            "now": hub.clock(),
            "theme": theme if theme in THEMES else "",
        }
        | values
    )
    return Response(body, status, headers_of(request), media_type="text/html")


def problem_page(request: Request, error: LintasError) -> Response:
    """Answer with a page that says what went wrong; an error that is ours says nothing more."""
    if not isinstance(error, Refusal):
        error = InternalError()
    members = problem_members(error)
    response = render(
        request,
        "problem.html",
        status=members["status"],
        problem=members,
        needs_sign_in=isinstance(error, Unauthorized),
    )
    if "retry_after" in error.extra:
        response.headers["Retry-After"] = str(error.extra["retry_after"])
    return response


@cache
def environment() -> Environment:
    """Return the templates with their filters."""
    found = Environment(
        loader=PackageLoader("broker.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "moment": _moment,
        "iso": words.iso,
        "number": words.number,
        "text": words.text,
        "whole": words.whole,
        "brief": words.brief,
        "ident": words.ident,
        "party": words.party,
        "badge": words.badge,
        "outcome": words.outcome,
        "outcome_of": words.outcome_of,
        "tlp": words.tlp,
        "marking": words.marking,
        "topic": words.topic,
        "way": ways.in_words,
        "delivered": ways.delivered,
    }
    found.globals |= {"icon": words.icon, "charts": charts, "words": words}
    found.tests["here"] = is_here
    return found


@pass_context
def _moment(context: Context, time_us: int) -> Markup:
    return words.moment(time_us, context["now"])
