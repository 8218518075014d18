"""A hub served until it is told to stop: parts are begun in order, ended in the opposite one."""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import ExitStack

from broker.app import build_app
from broker.hub import open_hub
from broker.logs import logging_to
from broker.metrics import Metrics, Serving
from broker.scrape import Listener
from broker.server import ANSWER_S, KEEP_ALIVE_S, Server, allow_connections, listen
from broker.settings import Settings

logger = logging.getLogger("lintas.serve")


def run_server(settings: Settings) -> None:
    """Serve the hub of these settings in this process; return when it has stopped.

    What keeps it from starting is raised before anything is changed: the addresses are taken first, and answered last.
    """
    allow_connections()
    with ExitStack() as ending:
        ending.enter_context(logging_to(sys.stderr, settings.log_level, settings.log_format))
        hub = open_hub(settings)
        # Last of all the hub finishes what is queued.
        ending.callback(logger.info, "stopped")
        ending.callback(hub.stop)
        sockets = listen(settings.host, settings.port)
        for each in sockets:
            ending.callback(each.close)
        app = build_app(hub)
        server = Server(
            hub,
            app,
            drain_s=settings.drain_s,
            log_level="warning",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=ANSWER_S,
        )
        told = Metrics(hub, Serving(lambda: server.connection_count, lambda: app.state.streams.open_count))
        listener = None if settings.metrics is None else Listener(settings.metrics, told.text)
        hub.start()
        if listener is not None:
            listener.start()
            ending.callback(listener.stop)
        places = [":".join(map(str, each.getsockname()[:2])) for each in sockets]
        logger.info("serving", extra={"hub": hub.name, "at": places})
        # What has been loaded stays: the collector looked through all of it again whenever enough was new.
        gc.collect()
        gc.freeze()
        server.run(sockets)
