"""The web console: pages rendered by the hub, usable without script.

How a page is added: a module here with a `router = APIRouter(route_class=Page)`, named in `routes.ROUTERS`; its handler
asks `visitor_of(request)` who looks, records that with `record_view`, reads, then answers with
`render(request, "name.html", ...)`. The template extends `base.html`. A page of `navigation.ENTRIES` shows in the bar
as soon as its route is there.
"""
