"""The Secrets that a target names; no message has a value, or a part of one."""

import base64
import binascii
from collections.abc import Callable, Hashable, Mapping
from http import HTTPStatus
from typing import Final

from kubernetes.aio.client import ApiClient, ApiException, CoreV1Api

from queue_recovery.api.base import SecretKeyRef
from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import BrokerTLS, CertificateAuthorityRef, MongoDBTLS, PasswordSecretRef
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.errors import AwaitingChange
from queue_recovery.recovery.wording import named
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS
from queue_recovery.workers.permissions import ServiceAccount, forbidden

_LONGEST_KEY: Final = 63
"""Characters of a key that are shown: all of any that a person types."""

_CERTIFICATE_KEYS: Final = ("tls.crt", "tls.key")
"""The keys of a Secret of type kubernetes.io/tls."""

SecretData = Mapping[str, str | bytes]
"""What a Secret holds, in base64, by key."""


class SecretReader:
    """The Secrets of one namespace, each read once until `forget`."""

    def __init__(
        self, api: ApiClient, namespace: str, account: ServiceAccount, observe: Callable[[str, Hashable], None]
    ) -> None:
        """Take the connection, the namespace, and the operator's ServiceAccount.

        `observe` is called with the version of each Secret that is read.
        """
        self._api = CoreV1Api(api)
        self._namespace = namespace
        self._account = account
        self._observe = observe
        self._read_so_far: dict[str, SecretData] = {}

    def forget(self) -> None:
        """Read each Secret again when it is asked for."""
        self._read_so_far.clear()

    async def value(self, ref: SecretKeyRef | PasswordSecretRef | CertificateAuthorityRef, field: str) -> str:
        """Return the text under a Secret's key.

        Args:
            ref: the Secret and the key.
            field: the field of the target that names them, for messages.

        Raises:
            AwaitingChange: `SecretNotFound`, `SecretKeyMissing`.
            RecoveryError: `Forbidden`, `KubernetesUnavailable`.
        """
        if ref.name not in self._read_so_far:
            self._read_so_far[ref.name] = await self.read(ref.name, field)
        return value_of(self._read_so_far[ref.name], ref.name, ref.key, field)

    async def certificates(self, tls: BrokerTLS | MongoDBTLS, field: str) -> Certificates:
        """Return the certificates that the `tls` of a server names.

        Raises as `value`, and RecoveryError (`InvalidCertificate`).
        """
        authority, client = tls.ca_secret_ref, tls.client_certificate_secret_ref
        shown = f"{field}.clientCertificateSecretRef"
        return Certificates(
            authorities=None if authority is None else await self.value(authority, f"{field}.caSecretRef"),
            client=None
            if client is None
            else "\n".join(
                [await self.value(SecretKeyRef(name=client.name, key=key), shown) for key in _CERTIFICATE_KEYS]
            ),
        )

    async def read(self, name: str, field: str) -> SecretData:
        """Read a Secret; raises as `value`."""
        try:
            with translated_failures(expected=(HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN)):
                secret = await self._api.read_namespaced_secret(name, self._namespace, _request_timeout=REQUEST_SECONDS)
        except ApiException as error:
            self._observe(f"secret {name}", error.status)
            if error.status == HTTPStatus.FORBIDDEN:
                raise forbidden(self._namespace, self._account) from None
            raise AwaitingChange(
                Reason.SECRET_NOT_FOUND,
                f'namespace "{self._namespace}" has no Secret "{name}". Create it, or change {field} in the target',
            ) from None
        metadata = secret.metadata
        self._observe(f"secret {name}", metadata and (metadata.uid, metadata.resource_version))
        return secret.data or {}


def value_of(data: SecretData, name: str, key: str, field: str) -> str:
    """Return the text under a key, without white space around it. Pure.

    Args:
        data: the data of the Secret.
        name: its name.
        key: the key to look up.
        field: the field of the target that names the Secret, for messages.

    Raises:
        AwaitingChange: `SecretKeyMissing`: the Secret has no such key, or no text under it.
    """
    if key not in data:
        keys = f"it has {named([_quoted(each) for each in sorted(data)])}" if data else "it is empty"
        raise _missing(f'Secret "{name}" has no key "{key}"; {keys}. Add the key, or change {field} in the target')
    try:
        text = base64.b64decode(data[key], validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise _missing(f'key "{key}" of Secret "{name}" does not hold text in UTF-8. Correct its value') from None
    if not text:
        raise _missing(f'key "{key}" of Secret "{name}" is empty. Set its value')
    return text


def _missing(message: str) -> AwaitingChange:
    return AwaitingChange(Reason.SECRET_KEY_MISSING, message)


def _quoted(key: str) -> str:
    return f'"{key}"' if len(key) <= _LONGEST_KEY else f'"{key[:_LONGEST_KEY]}..."'
