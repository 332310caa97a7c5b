"""Certificates that are taken up while the server runs."""

from __future__ import annotations

import logging
import os
import ssl

from ...runtime.errors import ServiceError

log = logging.getLogger("midair.web")


class Certificate:
    """A certificate and its key, by their files, and the live TLS context made of them.

    When the files change, the context takes them up: new connections get the new certificate, open ones go on.

    *In a snapshot:* the names of the files.
    """

    __transient__ = ("context", "_seen", "_tried")

    def __init__(self, cert: str, key: str) -> None:
        self.cert, self.key = os.path.abspath(cert), os.path.abspath(key)

    def open(self) -> ssl.SSLContext:
        """Raises:
        ServiceError: the files cannot be read, or do not belong together.
        """
        self._seen = self._tried = self._signs()
        self.context = self._load()
        return self.context

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise ServiceError(f"the certificate {self.cert} and its key {self.key} cannot be used: {reason}") from None
        return context

    def _signs(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_sign(path) for path in (self.cert, self.key))

    def look(self) -> bool:
        """Take up files that changed since the last look and then stayed for one; whether a new pair is in use."""
        now = self._signs()
        settled = now == self._seen
        self._seen = now
        if now == self._tried or not settled or None in now:
            return False
        self._tried = now
        try:
            self._load()  # aside first: a pair that does not fit together must not reach the live context
            self.context.load_cert_chain(self.cert, self.key)
        except (ServiceError, OSError) as error:
            log.error("%s; the old one stays in use", error)  # noqa: TRY400 - the sentence says it all
            return False
        log.info("the certificate %s was renewed; new connections get it", self.cert)
        return True


def _sign(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
