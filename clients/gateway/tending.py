"""The agency's keys while the gateway runs: renewed before they end, taken over when an officer exchanged them."""

from __future__ import annotations

from clients.gateway.sender import Report, text_of
from clients.keys import renew_if_due
from clients.settings import Settings
from lintas.client import Client
from lintas.errors import BadSettings, LintasError
from lintas.keys import load_identity

RENEW_EVERY_S = 3_600


class Tending:
    """Looks after the identity file. Called by the thread of the first client; the others get the same keys."""

    def __init__(self, settings: Settings, clients: tuple[Client, ...], report: Report) -> None:
        """Tend the identity that these clients were opened with."""
        self._settings = settings
        self._clients = clients
        self._report = report
        self._seen_ns = settings.identity.stat().st_mtime_ns
        self._renewed_at = 0

    def __call__(self) -> None:
        """Look once; raise BadSettings when the gateway must be started again."""
        # First what an officer did: what is saved below must hold it.
        self._reload()
        first = self._clients[0]
        if first.session.now() >= self._renewed_at + RENEW_EVERY_S:
            renew_if_due(first, self._settings)
            self._renewed_at = first.session.now()
        self._reload()

    def _reload(self) -> None:
        changed_ns = self._settings.identity.stat().st_mtime_ns
        if changed_ns == self._seen_ns:
            return
        self._seen_ns = changed_ns
        try:
            identity = load_identity(self._settings.identity, self._settings.passphrase)
        except LintasError as fault:
            # The keys at hand go on: whoever changed the passphrase starts the gateway again.
            self._report(f"the identity file has changed and does not open: {text_of(fault)}")
            return
        if identity.hub.log_key != self._clients[0].session.identity.hub.log_key:
            # Another memory belongs to it (`lintas epoch`): nothing more may be written into this one.
            raise BadSettings("The identity has gone over to another epoch of the log. Start the gateway again.")
        for client in self._clients:
            # Whole, so that a thread that reads it sees the former or this one.
            client.session.identity = identity.with_url(client.session.identity.hub.url)
        self._report(f"acting with the key {identity.key.kid}")
