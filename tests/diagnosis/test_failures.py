"""What an application or Celery has stored of a failure is read for what it is, at a cost that does not grow."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.diagnosis.failure import LONGEST_MESSAGE, Failure, failure_in

TRACE = """Traceback (most recent call last):
  File "/app/tts.py", line 12, in render
    voice = voices[name] + 1
            ~~~~~~~~~~~~~^~~
{}
"""

CHAINED = """Traceback (most recent call last):
  File "/app/a.py", line 1, in a
    1 / 0
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/b.py", line 2, in b
    raise VoiceError("no such voice")
app.voices.VoiceError: no such voice
at line 2
"""

CAUSE = """Traceback (most recent call last):
  File "/app/a.py", line 1, in a
    one + two
TypeError: no

During handling of the above exception, another exception occurred:

"""

GROUP = f"""{CAUSE}  + Exception Group Traceback (most recent call last):
  |   File "/app/b.py", line 2, in b
  |     raise ExceptionGroup("all", failures)
  | ExceptionGroup: all (1 sub-exception)
  +-+---------------- 1 ----------------
    | ConnectionError: refused
    +------------------------------------
"""

OF_A_CHILD = """Traceback (most recent call last):
  File "/app/a.py", line 1, in a
    raise RuntimeError(child.stderr)
RuntimeError: it has ended with 1: Traceback (most recent call last):
  File "/app/child.py", line 1, in child
    one + two
TypeError: no
"""

TWO_ATTEMPTS = f"first:\n{TRACE.format('TypeError: no')}second:\n{TRACE.format('TimeoutError: slow')}"

REMOTE = f"""multiprocessing.pool.RemoteTraceback:
\"\"\"
{TRACE.format("TypeError: no")}\"\"\"

The above exception was the direct cause of the following exception:

{TRACE.format("TypeError: no")}"""


def read(value: object) -> tuple[str, str, bool]:
    found = failure_in(value)
    assert found is not None
    return found.exception, found.message, found.is_full_name


@pytest.mark.parametrize(
    ("stored", "exception", "message", "is_full_name"),
    [
        ("TypeError: 'int' object is not callable", "TypeError", "'int' object is not callable", False),
        ("TypeError", "TypeError", "", False),
        ("  builtins.TypeError: no", "TypeError", "no", True),
        ("TypeError('no')", "TypeError", "no", False),
        ("KeyError('VOICE_URL')", "KeyError", "VOICE_URL", False),
        ("app.voices.VoiceError: none", "app.voices.VoiceError", "none", True),
        ("socket.timeout: timed out", "socket.timeout", "timed out", True),
        (TRACE.format("TypeError: no\nat all"), "TypeError", "no at all", True),
        (TRACE.format("requests.exceptions.ReadTimeout: slow"), "requests.exceptions.ReadTimeout", "slow", True),
        (CHAINED, "app.voices.VoiceError", "no such voice at line 2", True),
        ("could not render the voice of alice", "", "could not render the voice of alice", False),
        ("Error: it did not work", "", "Error: it did not work", False),
        ("alice@example.org: not found", "", "alice@example.org: not found", False),
        ("hunter2: wrong password", "", "hunter2: wrong password", False),
        ({"type": "TypeError", "message": "no"}, "TypeError", "no", False),
        ({"type": "TypeError", "module": "builtins", "message": "no"}, "TypeError", "no", True),
        ({"type": "VoiceError", "module": "app.voices"}, "app.voices.VoiceError", "", True),
        ({"exc_type": "KeyError", "exc_message": ["a"], "exc_module": "builtins"}, "KeyError", "a", True),
        (
            {"exc_type": "FileNotFoundError", "exc_message": [2, "No such file"], "exc_module": "builtins"},
            "FileNotFoundError",
            "[Errno 2] No such file",
            True,
        ),
        ({"traceback": TRACE.format("TypeError: no")}, "TypeError", "no", True),
        ({"type": "a sentence with alice in it", "message": "no"}, "", "no", False),
        ({"type": ["TypeError"], "message": {"a": 1}, "traceback": 5}, None, "", False),
    ],
)
def test_a_failure_is_found_in_what_is_stored(
    stored: object, exception: str | None, message: str, *, is_full_name: bool
) -> None:
    if exception is None:
        assert failure_in(stored) is None
    else:
        assert read(stored) == (exception, message, is_full_name)


@pytest.mark.parametrize(
    "trace", [GROUP, CAUSE, f"{CAUSE}Traceback (most recent call last):\n", OF_A_CHILD, TWO_ATTEMPTS]
)
def test_a_traceback_is_of_no_class_if_its_last_exception_may_be_another_one(trace: str) -> None:
    exception, _, is_full_name = read(trace)

    assert (exception, is_full_name) == ("", False)


def test_a_traceback_of_another_process_that_is_chained_is_followed() -> None:
    assert read(REMOTE) == ("TypeError", "no", True)
    assert read(f"task failed!\n{TRACE.format('TypeError: no')}") == ("TypeError", "no", True)


@pytest.mark.parametrize("nothing", [None, "", "   \n", 5, True, b"TypeError: x", [], {}, {"code": 3}, TRACE[:30]])
def test_where_nothing_is_stored_there_is_no_failure(nothing: object) -> None:
    found = failure_in(nothing)
    assert found is None or not found.exception


@pytest.mark.parametrize(
    ("frame", "is_of_environment"),
    [
        ('  File "<frozen os>", line 679, in __getitem__', True),
        ('  File "/usr/lib/python3.10/os.py", line 680, in __getitem__', True),
        ('  File "/app/os.py", line 5, in other', False),
        ('  File "/app/voices.py", line 5, in __getitem__', False),
    ],
)
def test_the_last_frame_tells_a_missing_environment_variable(frame: str, *, is_of_environment: bool) -> None:
    trace = f"Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in a\n{frame}\nKeyError: 'voice'\n"
    stored = {"exc_type": "KeyError", "exc_message": ["voice"], "exc_module": "builtins", "traceback": trace}

    for one in (failure_in(trace), failure_in(stored)):
        assert one is not None
        assert (one.exception, one.of_environment) == ("KeyError", is_of_environment)


HUGE = 4 * 2**20


@pytest.mark.parametrize(
    "stored",
    [
        "x" * HUGE,
        "X" * HUGE + ": no",
        "A." * HUGE,
        "TypeError: " + "'" * HUGE,
        "Traceback (most recent call last):\n" + "\n" * HUGE,
        "Traceback (most recent call last):\n" + '  File "a", line 1, in a\n' * (HUGE // 24) + "TypeError: no",
        {"type": "X" * HUGE, "message": "\x00" * HUGE},
        {"exc_type": "TypeError", "exc_message": ["a" * HUGE] * 100, "exc_module": "m." * HUGE},
        {"exc_type": "TypeError", "exc_message": [10**5000, "a"]},
    ],
)
def test_a_huge_text_costs_no_more_than_a_small_one(stored: object) -> None:
    began = time.process_time()
    found = failure_in(stored)
    assert time.process_time() - began < 0.1

    assert found is None or len(found.message) <= LONGEST_MESSAGE
    assert found is None or len(found.exception) <= 120


texts = st.text(max_size=300) | st.sampled_from(["Traceback (most recent call last):\n", '  File "', "A.B: c", "\n"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "message", "module", "traceback", "exc_type", "exc_message", "exc_module"]), inner
        )
    ),
    max_leaves=8,
)


@given(values | st.lists(texts, max_size=6).map("".join))
def test_anything_at_all_is_a_bounded_failure_or_none(value: object) -> None:
    found = failure_in(value)

    assert found is None or isinstance(found, Failure)
    if found is not None:
        assert len(found.message) <= LONGEST_MESSAGE
        assert found.message.isprintable()
        assert all(part.isidentifier() for part in found.exception.split(".")) or not found.exception
        assert found.message not in repr(found) or len(found.message) < 20
