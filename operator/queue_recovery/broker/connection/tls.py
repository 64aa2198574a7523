"""TLS with the certificates of a target's Secrets, which stay in memory."""

import ssl
from typing import Any

from redis import exceptions
from redis.asyncio.connection import SSLConnection
from typing_extensions import override

from queue_recovery.broker.connection.certificate_failures import ClosedAfterHandshakeError
from queue_recovery.broker.connection.guarded import GuardedConnection
from queue_recovery.broker.connection.url import Address
from queue_recovery.recovery.certificates import Certificates, client_context

_VERIFY_MODES = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


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
    context = client_context(certificates, where="broker.tls")
    mode = _VERIFY_MODES[address.certificate_check]
    context.check_hostname = address.check_hostname and mode is not ssl.CERT_NONE
    context.verify_mode = mode
    return context


def unverified(address: Address, *, encrypted: bool, encrypted_sentinels: bool) -> str | None:
    """Return how the operator speaks to the broker if it cannot know that it speaks to the right one; None: it can.

    Args:
        address: what the URL says.
        encrypted: whether it speaks TLS to the server.
        encrypted_sentinels: whether it speaks TLS to the Sentinels.
    """
    if not encrypted:
        return "without TLS"
    if address.certificate_check == "none":
        return "without checking its certificate (ssl_cert_reqs=none)"
    if not address.check_hostname:
        return "without checking the host in its certificate (ssl_check_hostname=false)"
    if address.sentinels and not encrypted_sentinels:
        return "by the word of Sentinels that it asks without TLS (sentinelKwargs.ssl)"
    return None
