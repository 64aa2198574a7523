"""Search a message for a regular expression in linear time. Pure.

Python's own `re` backtracks, so a tenant's expression could stop the operator. Pydantic's core has Rust's crate
`regex`, which does not (https://docs.rs/regex: worst case O(m * n)); `api.diagnosis.MessagePattern` bounds m, and a
message is short.
"""

from functools import lru_cache
from typing import Annotated

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError


class InvalidPatternError(ValueError):
    """A regular expression cannot be compiled."""


def search(pattern: str, text: str) -> bool:
    """Tell whether a part of the text matches; raises InvalidPatternError."""
    try:
        _compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> TypeAdapter[str]:
    config = ConfigDict(regex_engine="rust-regex", hide_input_in_errors=True)
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)], config=config)
    except SchemaError:
        raise InvalidPatternError from None
