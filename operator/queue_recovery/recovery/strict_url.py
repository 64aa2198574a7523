"""Whether the hosts in a URL are certain to be hosts, and no part of a password. Pure.

If a password is not percent-encoded, a parser can mistake a part of it for a host, a port or an option. So the hosts
of a URL may be shown only if the URL is unambiguous: a single `@`, a login before it whose characters need no encoding,
and no character after it that could be a part of the login.
"""

import ipaddress
import re
from typing import Final

_LOGIN = r"(?:[A-Za-z0-9._~!$&'()*+=-]|%[0-9A-Fa-f]{2})*"
_SERVER = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
_REST = r"(?:/[A-Za-z0-9_-]*)?(?:\?[A-Za-z0-9._~=&%-]*)?"
_STRICT: Final = re.compile(
    rf"[a-z+]+://(?:{_LOGIN}(?::{_LOGIN})?@)?(?P<servers>{_SERVER}(?:,{_SERVER})*){_REST}"
    rf"(?P<sentinels>(?:;sentinel://{_SERVER}{_REST})*)"
)
_HIGHEST_PORT: Final = 65535
_LETTER: Final = re.compile("[A-Za-z]")


def is_strict(url: str) -> bool:
    """Tell whether no part of the login can be among the hosts of a URL."""
    found = _STRICT.fullmatch(url)
    if found is None:
        return False
    sentinels = [part.partition("/")[0].partition("?")[0] for part in found["sentinels"].split(";sentinel://")[1:]]
    return all(map(_is_server, [*found["servers"].split(","), *sentinels]))


def _is_server(text: str) -> bool:
    """Tell whether a text is a host name or an IP address; a bare number may be a password."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    if int(port or 0) > _HIGHEST_PORT:
        return False
    if _LETTER.search(host) and not host.startswith("["):
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
