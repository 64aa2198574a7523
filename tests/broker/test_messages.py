"""What is enqueued is what Celery itself would have enqueued."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.broker.run.publisher import Publisher
from queue_recovery.recovery.ports import Task

PUBLISHER = Publisher()

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def parsed(message: bytes) -> Any:  # noqa: ANN401  # JSON
    """Return a message with its body decoded, and without what is another each time."""
    envelope = json.loads(message)
    assert envelope["properties"].pop("delivery_tag")
    return {**envelope, "body": json.loads(base64.b64decode(envelope["body"]))}


@given(st.lists(JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from(["a.b", "tts.render"]))
def test_a_message_is_the_one_that_celery_makes(args: list[Any], kwargs: dict[str, Any], name: str) -> None:
    task = Task(key="0:int:0", task_id="new", task=name, args=json.dumps(args), kwargs=json.dumps(kwargs))

    assert parsed(PUBLISHER.message("tts", task)) == parsed(PUBLISHER.made_by_celery("tts", task))


def test_each_message_has_a_delivery_tag_of_its_own_and_its_arguments_text_as_it_was_given() -> None:
    task = Task(key="0:int:0", task_id="new", task="a", args="[1.0, 12345678901234567890,  null]", kwargs='{"a": 1}')

    first, second = (json.loads(PUBLISHER.message("tts", task)) for _ in range(2))

    assert first["properties"].pop("delivery_tag") != second["properties"].pop("delivery_tag")
    assert first == second
    assert base64.b64decode(first["body"]).startswith(b'[[1.0, 12345678901234567890,  null], {"a": 1}, {')


def test_arguments_with_a_lone_surrogate_are_sent_as_celery_does_and_shown_with_a_question_mark() -> None:
    text = json.dumps(["caf\ud83d", "\ud83d\ude00"])
    task = Task(key="0:int:0", task_id="new", task="a", args=text, kwargs=json.dumps({"\udc00": "\ud83d"}))

    message, celerys = (
        parsed(made) for made in (PUBLISHER.message("tts", task), PUBLISHER.made_by_celery("tts", task))
    )

    assert message["headers"].pop("argsrepr") == celerys["headers"].pop("argsrepr").replace("\ud83d", "?")
    assert message["headers"].pop("kwargsrepr") == "{'?': '?'}"
    del celerys["headers"]["kwargsrepr"]
    assert message == celerys


def test_arguments_as_deep_as_can_be_or_deeper_keep_no_message_from_being_built() -> None:
    deep = []
    for depth in (*range(900, 1010), 100_000):
        text = "[" * depth + "]" * depth
        task = Task(key="0:int:0", task_id="new", task=f"a{depth}", args=text, kwargs=f'{{"deep": {text}}}')
        deep.append((text, json.loads(PUBLISHER.message("tts", task))))

    for text, message in deep:
        assert base64.b64decode(message["body"]).startswith(f'[{text}, {{"deep": {text}}}, {{'.encode())
    assert {message["headers"]["argsrepr"] for _, message in deep} == {"[[[[...]]]]", "..."}
