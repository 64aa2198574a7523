"""TLS with the certificates of a target's Secrets, which stay in memory."""

import os
import ssl
from dataclasses import dataclass, field
from typing import Any

from redis import exceptions
from redis.asyncio.connection import SSLConnection
from typing_extensions import override

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.failures import ClosedAfterHandshakeError
from queue_recovery.broker.guarded import GuardedConnection
from queue_recovery.broker.url import Address
from queue_recovery.recovery.errors import NotYet

_VERIFY_MODES = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What the Secrets under `broker.tls` hold, in PEM."""

    authorities: str | None = field(default=None, repr=False)
    """The only ones that may have signed the broker's certificate; None: those that this machine trusts."""
    client: str | None = field(default=None, repr=False)
    """The certificate that the broker is shown, with its chain and its key."""


class TLSConnection(GuardedConnection, SSLConnection):
    """A connection whose SSL context is made before: redis-py's own cannot hold a client's key that is in no file."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:  # noqa: ANN401 - as redis-py has them
        """Take the context besides what a connection takes."""
        super().__init__(**options)
        self.ssl_context.context = context

    @override
    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in.

        Raises:
            ClosedAfterHandshakeError: the connection has ended. With TLS 1.3 the server judges the client's certificate
                after the handshake, and its alert is lost when what the client sends crosses it.
        """
        try:
            await super().on_connect_check_health(check_health=check_health)
        except exceptions.ConnectionError as error:
            if type(error) is exceptions.ConnectionError:  # its subclasses are answers, as to a wrong password
                raise ClosedAfterHandshakeError from error
            raise


def ssl_context(address: Address, certificates: Certificates) -> ssl.SSLContext:
    """Return a context that checks what the URL asks for, with these certificates.

    Raises:
        NotYet: `InvalidCertificate`.
    """
    try:
        context = ssl.create_default_context(cadata=certificates.authorities)
        if certificates.client is not None:
            _load_client(context, certificates.client)
    except (ssl.SSLError, ValueError, TypeError):  # the latter for what is not ASCII
        raise NotYet(
            Reason.INVALID_CERTIFICATE,
            "a Secret under broker.tls of the target holds no certificate in PEM, or a key that does not fit it or "
            "asks for a password; put in what cert-manager or `kubectl create secret tls` would",
        ) from None
    mode = _VERIFY_MODES[address.certificate_check]
    context.check_hostname = address.check_hostname and mode is not ssl.CERT_NONE
    context.verify_mode = mode
    return context


def _load_client(context: ssl.SSLContext, pem: str) -> None:
    """Load the client's certificate and key: Python's ssl takes them from a file only, so from one without a disk."""
    handle = os.memfd_create("client-certificate")
    try:
        with open(handle, "w", encoding="ascii", closefd=False) as file:
            file.write(pem)
        # OpenSSL asks the terminal for the password of a key that has one, unless it is given one.
        context.load_cert_chain(f"/proc/self/fd/{handle}", password="")
    finally:
        os.close(handle)
