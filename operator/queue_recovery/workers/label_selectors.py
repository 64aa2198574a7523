"""Label selectors, as objects and as the text of a `scale` subresource. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from queue_recovery.workers.objects import Requirement, Selector

_COMMA: Final = re.compile(r",(?![^(]*\))")
"""A comma that is not in a list of values."""

_SET: Final = re.compile(r"(?P<key>[^\s!=<>()]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL: Final = re.compile(r"(?P<key>[^\s!=<>()]+)\s*(?P<operator>==?|!=)\s*(?P<value>[^\s!=<>()]*)")
_KEY: Final = re.compile(r"(?P<not>!?)\s*(?P<key>[^\s!=<>()]+)")


def parse_selector(text: str) -> Selector:
    """Return a selector that is written as text; a requirement of an unknown form is left out, so more is selected."""
    parts = (_requirement(part.strip()) for part in _COMMA.split(text))
    return Selector(match_expressions=[part for part in parts if part is not None])


def _requirement(text: str) -> Requirement | None:
    if found := _SET.fullmatch(text):
        values = [value.strip() for value in found["values"].split(",")]
        return Requirement(key=found["key"], operator="In" if found["operator"] == "in" else "NotIn", values=values)
    if found := _EQUAL.fullmatch(text):
        operator = "NotIn" if found["operator"] == "!=" else "In"
        return Requirement(key=found["key"], operator=operator, values=[found["value"]])
    if found := _KEY.fullmatch(text):
        return Requirement(key=found["key"], operator="DoesNotExist" if found["not"] else "Exists")
    return None


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector selects an object with these labels."""
    return selector.match_labels.items() <= labels.items() and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return True
