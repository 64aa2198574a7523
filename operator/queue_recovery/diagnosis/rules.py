"""What one failure means: the target's rules, then the tables. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from queue_recovery.api.diagnosis import DiagnosisRule, RuleVerdict
from queue_recovery.diagnosis.classes import candidates, levels, rows_of
from queue_recovery.diagnosis.failure import Failure
from queue_recovery.diagnosis.patterns import InvalidPatternError, search

NO_RULE: Final = "no-rule"
"""No rule applies."""

AMBIGUOUS: Final = "ambiguous"
"""Several classes have that name, or an exception has several bases, and their rules differ."""

_TRANSIENT_NAME: Final = re.compile(r"(?i)time.?out|connect|network|unavailable|toomany|gateway|throttl")
"""What the name of a class says that is transient in any library; a `ReadError` may be httpx's, or tarfile's."""

ENVIRONMENT: Final = "python/os.environ"
"""An environment variable was looked up that is not set."""


@dataclass(frozen=True)
class Judgement:
    """What a rule says of a failure."""

    verdict: RuleVerdict
    rule: str
    by_message: bool = False
    """Whether the message was part of the decision."""


def judge(failure: Failure, rules: Sequence[DiagnosisRule] = ()) -> Judgement:
    """Return what the first rule says that matches: of the target's in their order, then the closest in a table."""
    known = candidates(failure.exception, is_full_name=failure.is_full_name) if failure.exception else ()
    for number, rule in enumerate(rules):
        if _matches(rule, failure, known):
            return Judgement(rule.verdict, f"target/rules[{number}]")
    if failure.of_environment and failure.exception == "KeyError":
        return Judgement("Deterministic", ENVIRONMENT)
    return _by_tables(failure, known)


def is_valid(rule: DiagnosisRule) -> bool:
    """Tell whether a rule's regular expression is one, and compile it; one that is none matches nothing."""
    return rule.message is None or _search(rule.message, "") is not None


def _matches(rule: DiagnosisRule, failure: Failure, known: Iterable[str]) -> bool:
    if rule.exception is not None and not _is_a(failure.exception, rule.exception, known):
        return False
    return rule.message is None or _search(rule.message, failure.message) is True


def _is_a(exception: str, wanted: str, known: Iterable[str]) -> bool:
    """Tell whether an exception is of a class, or derived from it as far as that is known."""
    wanted = wanted.removeprefix("builtins.")
    means = {wanted, *candidates(wanted, is_full_name=True)}
    return exception in means or any(not means.isdisjoint(level) for path in known for level in levels(path))


def _search(pattern: str, text: str) -> bool | None:
    """Search; None: the pattern is invalid."""
    try:
        return search(pattern, text)
    except InvalidPatternError:
        return None


def _by_tables(failure: Failure, known: Sequence[str]) -> Judgement:
    found = [_nearest(path, failure.message) for path in known]
    # Where several classes have the name, a message that only one of them has tells which it is.
    judgements = [one for one in found if one is not None and one.by_message]
    if not judgements:
        judgements = [one for one in found if one is not None]
        if not judgements or len(judgements) < len(found):
            return Judgement("Unknown", NO_RULE)
    first = _agreed(judgements)
    # Any application may have a class of that name; those of Python are not named again.
    is_certain = failure.is_full_name or any("." not in path for path in known)
    says_so = first.verdict == "Transient" and (first.by_message or _TRANSIENT_NAME.search(failure.exception))
    if not (is_certain or says_so or first.verdict == "Unknown"):
        return Judgement("Unknown", AMBIGUOUS)
    return first


def _nearest(path: str, message: str) -> Judgement | None:
    """Return what the rows of the closest classes say that have one for this message."""
    for level in levels(path):
        found = [one for each in level if (one := _row(each, message)) is not None]
        if found:
            return _agreed(found)
    return None


def _row(path: str, message: str) -> Judgement | None:
    for table, row in rows_of(path):
        if not row.message or search(row.message, message):
            return Judgement(row.verdict, table.rule(row), by_message=bool(row.message))
    return None


def _agreed(found: Sequence[Judgement]) -> Judgement:
    first = found[0]
    return first if all(one.verdict == first.verdict for one in found) else Judgement("Unknown", AMBIGUOUS)
