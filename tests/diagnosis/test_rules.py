"""Which rule decides over a failure: the target's in their order, then the nearest class in a table."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.diagnosis import DiagnosisRule
from queue_recovery.diagnosis.failure import failure_in
from queue_recovery.diagnosis.rules import is_valid, judge


def judged(stored: object, *rules: dict[str, str]) -> tuple[str, str]:
    failure = failure_in(stored)
    assert failure is not None
    found = judge(failure, [DiagnosisRule.model_validate(rule) for rule in rules])
    return found.verdict, found.rule


def raised(path: str, *arguments: object) -> dict[str, object]:
    """Return a failure as Celery stores it."""
    module, _, name = path.rpartition(".")
    return {"exc_type": name, "exc_module": module or "builtins", "exc_message": list(arguments)}


DECIDED = [
    # The seed's table.
    (raised("requests.exceptions.ReadTimeout", "timed out"), "Transient", "requests/Timeout"),
    (raised("httpx.ReadTimeout", ""), "Transient", "httpx/TimeoutException"),
    (raised("TimeoutError", "timed out"), "Transient", "python/TimeoutError"),
    (
        raised("requests.exceptions.HTTPError", "429 Client Error: Too Many Requests for url: https://x"),
        "Transient",
        "",
    ),
    (raised("httpx.HTTPStatusError", "Client error '429 Too Many Requests' for url 'x'"), "Transient", ""),
    (raised("google.api_core.exceptions.ResourceExhausted", "429 quota"), "Transient", ""),
    (
        raised("botocore.errorfactory.ThrottlingException", "An error occurred (ThrottlingException) when calling"),
        "Transient",
        "botocore/ClientError:throttled",
    ),
    (raised("psycopg.OperationalError", "connection failed: Connection refused"), "Transient", ""),
    (raised("psycopg2.OperationalError", "server closed the connection unexpectedly"), "Transient", ""),
    (raised("pymongo.errors.ServerSelectionTimeoutError", "No servers found yet"), "Transient", ""),
    (raised("redis.exceptions.BusyLoadingError", "loading"), "Transient", "redis/ConnectionError"),
    (raised("TypeError", "can only concatenate str"), "Deterministic", "python/TypeError"),
    (raised("AttributeError", "'str' object has no attribute 'x'"), "Deterministic", "python/AttributeError"),
    (raised("UnicodeDecodeError", "utf-8"), "Deterministic", "python/UnicodeError"),
    (raised("KeyError", "VOICE_API_KEY"), "Deterministic", "python/KeyError:setting"),
    (raised("celery.exceptions.ImproperlyConfigured", "x"), "Deterministic", "celery/ImproperlyConfigured"),
    (raised("FileNotFoundError", 2, "No such file or directory"), "Deterministic", "python/FileNotFoundError"),
    # What may be either.
    (raised("ValueError", "x"), "Unknown", "no-rule"),
    (raised("KeyError", "voice"), "Unknown", "no-rule"),
    (raised("RuntimeError", "x"), "Unknown", "no-rule"),
    (raised("Exception", "x"), "Unknown", "no-rule"),
    (raised("OSError", 28, "No space left on device"), "Unknown", "no-rule"),
    (raised("OSError", 113, "No route to host"), "Transient", "python/OSError:net"),
    (raised("PermissionError", 13, "Permission denied"), "Unknown", "python/PermissionError"),
    (raised("MemoryError"), "Unknown", "no-rule"),
    (raised("TypeError", "'NoneType' object is not subscriptable"), "Unknown", "python/TypeError:none"),
    (raised("json.decoder.JSONDecodeError", "Expecting value: line 1 column 1 (char 0)"), "Unknown", ""),
    (
        raised("requests.exceptions.HTTPError", "404 Client Error: Not Found for url: x"),
        "Unknown",
        "requests/HTTPError",
    ),
    (raised("requests.exceptions.HTTPError", "500 Server Error: x"), "Unknown", "requests/HTTPError"),
    (raised("requests.exceptions.HTTPError", "422 Client Error: x"), "Deterministic", "requests/HTTPError:request"),
    (raised("requests.exceptions.SSLError", "certificate"), "Unknown", "requests/SSLError"),
    (raised("requests.exceptions.ConnectionError", "[Errno -2] Name or service not known"), "Unknown", ""),
    (raised("psycopg.OperationalError", "password authentication failed for user"), "Unknown", ""),
    (raised("psycopg.errors.UniqueViolation", "duplicate key"), "Unknown", "psycopg/IntegrityError"),
    (raised("billiard.exceptions.SoftTimeLimitExceeded", "x"), "Unknown", "celery/SoftTimeLimitExceeded"),
    (raised("billiard.exceptions.WorkerLostError", "signal 9"), "Unknown", "celery/WorkerLostError"),
    (raised("celery.exceptions.MaxRetriesExceededError", "x"), "Unknown", "celery/MaxRetriesExceededError"),
    (raised("celery.exceptions.Retry", "x"), "Unknown", "celery/TaskPredicate"),
    (raised("celery.exceptions.NotRegistered", "tts.render"), "Deterministic", "celery/NotRegistered"),
    (raised("kombu.exceptions.ContentDisallowed", "x"), "Deterministic", "kombu/SerializerNotInstalled"),
    (raised("kombu.exceptions.DecodeError", "x"), "Deterministic", "kombu/SerializationError"),
    (raised("AttributeError", "'ChannelPromise' object has no attribute '__value__'"), "Unknown", ""),
    (raised("FileNotFoundError", 2, "No such file or directory: '/var/run/docker.sock'"), "Unknown", ""),
    (raised("httpx.LocalProtocolError", "Invalid input in state ConnectionState.CLOSED"), "Unknown", ""),
    (raised("psycopg.errors.FeatureNotSupported", "cached plan must not change result type"), "Unknown", "no-rule"),
    (raised("pymongo.errors.InvalidOperation", "Cannot use MongoClient after close"), "Unknown", ""),
    (raised("UnicodeDecodeError", "utf-8", "b'x'", 0, 1, "unexpected end of data"), "Unknown", ""),
    (raised("_pickle.UnpicklingError", "invalid load key, '<'."), "Unknown", ""),
    (raised("_pickle.UnpicklingError", "invalid load key, 'v'."), "Deterministic", ""),
    ("TypeError: Failed to fetch", "Unknown", "python/TypeError:js"),
    ("TypeError: fetch failed", "Unknown", ""),
    ("TypeError: Cannot read properties of undefined (reading 'id')", "Unknown", ""),
    ("TypeError: fetch() missing 1 required positional argument: 'url'", "Deterministic", "python/TypeError"),
    ("SyntaxError: Unexpected token < in JSON at position 0", "Unknown", "python/SyntaxError:js"),
    ("SyntaxError: invalid syntax (<unknown>, line 1)", "Deterministic", "python/SyntaxError"),
    # A class is exported under another path than its own.
    (raised("requests.ReadTimeout", "x"), "Transient", "requests/Timeout"),
    (raised("app.errors.ReadTimeout", "x"), "Unknown", "no-rule"),
    # Names without a module: any application may have such a class.
    ("TypeError: no", "Deterministic", "python/TypeError"),
    ("ConnectionError: refused", "Transient", ""),
    ("HTTPError: 429 Client Error: Too Many Requests for url: x", "Transient", "requests/HTTPError:retry"),
    ("NotRegistered: 'tts.render'", "Unknown", "ambiguous"),
    ("InvalidURL: x", "Unknown", "ambiguous"),
    ("ReadTimeout: x", "Transient", "requests/Timeout"),
    ("AutoReconnect: x", "Transient", "pymongo/ConnectionFailure"),
    ("ReadError('not a gzip file')", "Unknown", "ambiguous"),
    ("LimitExceeded: the plan of this customer has 5 voices", "Unknown", "ambiguous"),
    ("Aborted: the user has cancelled it", "Unknown", "ambiguous"),
    ("ReadOnlyError: the project is archived", "Unknown", "ambiguous"),
    (raised("httpx.ReadError", ""), "Transient", "httpx/NetworkError"),
    (raised("redis.exceptions.ReadOnlyError", "x"), "Transient", "redis/ReadOnlyError"),
    ("ProtocolError: x", "Unknown", "no-rule"),
    ("VoiceError: x", "Unknown", "no-rule"),
    ("it failed", "Unknown", "no-rule"),
]


@pytest.mark.parametrize(("stored", "verdict", "rule"), DECIDED)
def test_the_nearest_row_decides(stored: object, verdict: str, rule: str) -> None:
    found = judged(stored)

    assert found[0] == verdict, found
    assert not rule or found[1] == rule


def test_a_key_error_of_the_environment_is_a_missing_setting_no_matter_what_its_name_is() -> None:
    trace = "Traceback (most recent call last):\n  File \"<frozen os>\", line 679, in __getitem__\nKeyError: 'voice'\n"

    assert judged({**raised("KeyError", "voice"), "traceback": trace}) == ("Deterministic", "python/os.environ")


@pytest.mark.parametrize(
    ("rule", "stored", "matches"),
    [
        ({"exception": "app.errors.VoiceError"}, raised("app.errors.VoiceError", "x"), True),
        ({"exception": "app.errors.VoiceError"}, "VoiceError: x", False),
        ({"exception": "VoiceError"}, "VoiceError: x", True),
        ({"exception": "OSError"}, raised("requests.exceptions.ConnectTimeout", "x"), True),
        ({"exception": "requests.exceptions.RequestException"}, raised("requests.exceptions.HTTPError", "x"), True),
        ({"exception": "requests.RequestException"}, raised("requests.exceptions.HTTPError", "x"), True),
        ({"exception": "ValueError"}, raised("TypeError", "x"), False),
        ({"message": "quota"}, raised("ValueError", "over quota"), True),
        ({"message": "(?i)QUOTA$"}, raised("ValueError", "over quota"), True),
        ({"message": "^quota"}, raised("ValueError", "over quota"), False),
        ({"exception": "TypeError", "message": "quota"}, raised("ValueError", "over quota"), False),
        ({"message": "("}, raised("ValueError", "("), False),
    ],
)
def test_a_rule_of_the_target_matches_by_class_and_by_message(
    rule: dict[str, str], stored: object, *, matches: bool
) -> None:
    found = judged(stored, {**rule, "verdict": "Transient"})

    assert (found == ("Transient", "target/rules[0]")) == matches


def test_the_first_rule_of_the_target_that_matches_decides_before_any_table() -> None:
    rules = [
        {"message": "other", "verdict": "Transient"},
        {"exception": "TypeError", "verdict": "Unknown"},
        {"exception": "TypeError", "verdict": "Transient"},
    ]

    assert judged(raised("TypeError", "x"), *rules) == ("Unknown", "target/rules[1]")


def test_an_expression_that_is_none_is_named() -> None:
    rules = [DiagnosisRule(message=one, verdict="Unknown") for one in ("fine", "(", "[a")]

    assert list(map(is_valid, rules)) == [True, False, False]


HOSTILE = [
    "." * 100,
    ".*" * 49 + "!",
    "(?i)" + ".?" * 47 + "!",
    "(.?)+" * 19 + "!",
    "(((.*)*)*)*" * 8 + "z",
    "(.+.+)+" * 14 + "!",
    "(?i)[a-zà-ÿ]+" * 7 + "!",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_no_expression_that_a_tenant_may_write_takes_long(pattern: str) -> None:
    rule = DiagnosisRule(message=pattern, verdict="Unknown")
    failures = [failure_in(text * 250) for text in ("a", "é漢 ", "aé漢😀", "k\u017f")]

    began = time.process_time()
    is_valid(rule)
    for failure in failures:
        assert failure is not None
        judge(failure, [rule])

    assert time.process_time() - began < 0.1


@given(st.text(max_size=200), st.sampled_from([raised("TypeError", "x"), "VoiceError: x", raised("OSError", "x")]))
def test_no_message_makes_a_type_error_of_something_else(message: str, stored: object) -> None:
    other = {**stored, "exc_message": [message]} if isinstance(stored, dict) else f"VoiceError: {message}"
    verdict, _ = judged(other)

    assert verdict != "Deterministic" or (isinstance(stored, dict) and stored["exc_type"] == "TypeError")
