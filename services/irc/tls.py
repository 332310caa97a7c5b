"""TLS: the certificate, and taking up a new one while connections stay."""

from __future__ import annotations

import os
import ssl


class Certificate:
    """A certificate and its key on disk, and the context that listeners use.

    A new certificate is loaded into the same context, so that the next handshake uses it and no listener is reopened.

    Args:
        cert: path of the chain, PEM.
        key: path of the private key, PEM.
        client_ca: path of the authorities whose client certificates are accepted (SASL EXTERNAL), or "".
    """

    def __init__(self, cert: str, key: str, client_ca: str = "") -> None:
        self.cert, self.key, self.client_ca = cert, key, client_ca
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if client_ca:
            self.context.verify_mode = ssl.CERT_OPTIONAL
            self.context.load_verify_locations(client_ca)
        self._seen = self._stamp()
        self.context.load_cert_chain(cert, key)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        return tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in (os.stat(self.cert), os.stat(self.key)))

    def refresh(self) -> bool:
        """Load the files again if they changed; tell whether they did.

        Raises:
            OSError: they cannot be read; handshakes go on with the old ones. ssl.SSLError is one too.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        # A pair half replaced does not fit together: it is tried on the side first.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.cert, self.key)
        self.context.load_cert_chain(self.cert, self.key)
        self._seen = stamp
        return True
