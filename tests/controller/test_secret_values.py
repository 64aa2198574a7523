"""What is said of a Secret that does not hold what it should, without a piece of what it holds."""

import base64

import pytest

from queue_recovery.controller.secrets import value_of
from queue_recovery.recovery.errors import AwaitingChange

FIELD = "spec.broker.urlSecretRef"


def holding(**values: bytes) -> dict[str, str | bytes]:
    return {key: base64.b64encode(value).decode() for key, value in values.items()}


def refusal(data: dict[str, str | bytes]) -> str:
    with pytest.raises(AwaitingChange) as refused:
        value_of(data, "redis", "url", FIELD)
    assert refused.value.reason == "SecretKeyMissing"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert "hunter2" not in str(refused.value)
    return refused.value.message


def test_text_is_returned_without_white_space_around_it() -> None:
    assert value_of(holding(url=b"redis://redis/0\n"), "redis", "url", FIELD) == "redis://redis/0"


def test_a_key_that_is_missing_names_those_that_there_are_and_the_field_to_change() -> None:
    assert refusal(holding(uri=b"redis://:hunter2@redis", password=b"hunter2")) == (
        'Secret "redis" has no key "url"; it has "password", "uri". Add the key, or change '
        "spec.broker.urlSecretRef in the target"
    )
    assert 'has no key "url"; it is empty.' in refusal({})


def test_of_many_and_long_keys_only_a_few_are_named_each_in_a_few_characters() -> None:
    message = refusal(holding(**{f"{number:03}{'x' * 250}": b"hunter2" for number in range(200)}))

    assert message.count("...") == 10
    assert " and 190 more. " in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("value", "says"), [(b"", "is empty"), (b" \n", "is empty"), (b"hunter2\xff", "does not hold text in UTF-8")]
)
def test_a_key_without_text_is_told_apart_from_one_that_is_missing(value: bytes, says: str) -> None:
    assert says in refusal(holding(url=value))


def test_what_is_no_base64_is_not_shown() -> None:
    assert "does not hold text" in refusal({"url": "hunter2"})
