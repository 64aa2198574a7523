"""What a status of HTTP says, for the tables of its clients (RFC 9110, RFC 6585).

400, 401, 403, 404 and 409 say different things in different APIs: a token that is being replaced, a quota, an object
that is not there yet. 500 may be a fault at the request as well as a restart. They are of no verdict.
"""

from typing import Final

RETRY: Final = "(408|425|429|502|503|504)"
"""A time-out, a rate limit, or a server that is away for the moment."""

WHY_RETRY: Final = (
    "by its status: a time-out, a rate limit, or a server that is away (RFC 9110, 15.5.9, 15.6.3 to 15.6.5)"
)

REQUEST: Final = "(405|411|413|414|415|422)"
"""The request itself is refused, whenever it is sent."""

WHY_REQUEST: Final = "by its status: the request is refused as it is (RFC 9110, 15.5.6, 15.5.12 to 15.5.16, 15.5.21)"

WHY_OTHER: Final = "any other status says different things in different APIs"
