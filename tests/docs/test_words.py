"""Words that an SRE would not say aloud are in no text of the repository; a plain one takes the place of each."""

import re
from pathlib import Path

from tests.docs.texts import DECISIONS, texts, without_blocks

INSTEAD = {
    "anew": "again",
    "mend": "fix",
    "for ever": "indefinitely",
    "stands? (in|on|beside)": "is in, is listed in",
    "lies in": "is in",
    "whoever": "the user, any client",
    "whatever": "any, no matter what",
    "the books": "the final status",
    "lets? (it )?go": "release",
    "heed": "handle",
    "gives? way": "yield",
    "bears?": "has, tolerates",
    "hears?": "receives",
    "lent": "in use",
    "at work": "running",
    "without a word": "without saying why",
    "(consumers|producers)' end": "tail, head",
    "one's own": "your own, its own",
    "by and by": "eventually",
    "as ever": "as before",
    "it cannot be told": "it is not possible to determine",
    "tails": "canvas",
    "sweeper": "retention",
    "kept safe": "quarantined",
    "bites?": "batch",
    "lays? (it|them) into": "write to, put into",
}
"""What is written instead, by pattern."""

HISTORY = (DECISIONS, Path("CHANGELOG.md"), Path("tests/docs/test_words.py"))
"""Texts about words that were changed, and pages that are never rewritten."""


def words(text: str) -> str:
    """Return a text with the words of its names apart."""
    return text.replace("_", " ")


def test_every_text_is_in_plain_words() -> None:
    any_word = re.compile(rf"\b({'|'.join(INSTEAD)})\b", re.IGNORECASE)
    found = [
        f"{place}:{text[: match.start()].count(chr(10)) + 1}: {match.group()}, write: {_plain(match.group())}"
        for place, whole in texts()
        if not any(place.is_relative_to(page) for page in HISTORY)
        for text in [words(without_blocks(whole, "console"))]
        for match in any_word.finditer(text)
    ]

    assert found == []


def _plain(found: str) -> str:
    return next(plain for word, plain in INSTEAD.items() if re.fullmatch(word, found, re.IGNORECASE))
