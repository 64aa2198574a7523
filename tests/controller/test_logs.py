"""What the log shows of exceptions and warnings, also of those that are not the operator's."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from pymongo import AsyncMongoClient

from queue_recovery.controller import logs

SECRET = "hunter2"
LOG = logging.getLogger("queue_recovery.controller.operator")

Format = Literal["json", "console"]
Configure = Callable[..., io.StringIO]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Configure the log in a format and at a level; returns what is written."""
    root, muted = logging.getLogger(), logging.getLogger("asyncio")
    levels = {name: logging.getLogger(name).level for name in (*logs._LIBRARIES, "queue_recovery", "")}
    handlers, muted_handlers = list(root.handlers), list(muted.handlers)
    written = io.StringIO()

    def configured(log_format: Format, level: str = "DEBUG") -> io.StringIO:
        monkeypatch.setattr("sys.stderr", written)
        logs.configure(log_format, level)
        return written

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield configured
    root.handlers, muted.handlers, muted.propagate = handlers, muted_handlers, True
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest, configure: Configure) -> io.StringIO:
    """What the operator writes at DEBUG."""
    return configure(request.param)


def fail() -> None:
    raise ValueError(SECRET)


def test_of_an_exception_it_shows_the_type_and_the_place_and_not_the_text(written: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("kopf.objects").exception("a handler failed")

    assert "a handler failed: ValueError in fail (" in written.getvalue()
    assert SECRET not in written.getvalue()


async def test_a_warning_of_a_driver_is_logged_by_its_kind_and_place(written: io.StringIO) -> None:
    await AsyncMongoClient[dict[str, object]](f"mongodb://db.example/?{SECRET}=1", connect=False).close()

    assert "UserWarning at " in written.getvalue()
    assert SECRET not in written.getvalue()


def test_drivers_say_nothing_of_the_servers_they_look_for(written: io.StringIO) -> None:
    for name in ("pymongo.serverSelection", "redis.asyncio", "kombu.transport"):
        logging.getLogger(name).info("waiting for %s", SECRET)

    assert not written.getvalue()


def test_a_json_line_has_its_text_and_its_fields_beside_it(configure: Configure) -> None:
    written = configure("json")
    about = logs.fields("media", recovery="stuck", phase="Draining", reason="PodVanished")
    LOG.warning("pod %s is gone", "tts-1", extra=about)

    entry = json.loads(written.getvalue())
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "severity": "warning",
        "message": "pod tts-1 is gone",
        "namespace": "media",
        "recovery": "stuck",
        "phase": "Draining",
        "reason": "PodVanished",
    }


def test_a_console_line_has_its_fields_behind_its_text(configure: Configure) -> None:
    written = configure("console")
    LOG.info("the broker is away", extra=logs.fields("media", target="redis", reason="BrokerUnavailable"))
    LOG.info("stopped")

    about, plain = written.getvalue().splitlines()
    assert about.endswith("Z INFO     the broker is away  namespace=media target=redis reason=BrokerUnavailable")
    assert plain.endswith("Z INFO     stopped")


def test_a_long_text_with_a_line_feed_in_it_is_one_whole_line(written: io.StringIO) -> None:
    LOG.info("queue %s, end of the text", "long\n" * 1000)

    [line] = written.getvalue().splitlines()
    assert line.count("long\\n") == 1000
    assert "end of the text" in line


def test_a_line_is_written_once_although_the_log_is_configured_twice(configure: Configure) -> None:
    configure("json")
    written = configure("console")
    LOG.info("stopped")

    assert len(written.getvalue().splitlines()) == 1


def test_kopf_says_nothing_of_what_goes_well(written: io.StringIO) -> None:
    logging.getLogger("kopf.objects").info("Handler 'registry.<locals>.receive_recovery' succeeded.")

    assert not written.getvalue()


def test_a_librarys_warning_names_its_logger_and_shows_nothing_that_it_adds(configure: Configure) -> None:
    written = configure("json")
    logging.getLogger("kopf.engine").warning("too slow", extra={"settings": SECRET})

    entry = json.loads(written.getvalue())
    assert (entry["message"], entry["logger"]) == ("too slow", "kopf.engine")
    assert SECRET not in written.getvalue()


@pytest.mark.parametrize(("kind", "field"), [("QueueRecovery", "recovery"), ("QueueTarget", "target")])
def test_an_error_of_kopf_has_the_fields_of_what_it_is_about(configure: Configure, kind: str, field: str) -> None:
    written = configure("json")
    about = {"kind": kind, "namespace": "media", "name": "one", "uid": "1"}
    logging.getLogger("kopf.objects").error("a handler failed", extra={"k8s_ref": about})

    entry = json.loads(written.getvalue())
    assert (entry["namespace"], entry[field]) == ("media", "one")


def test_what_a_failed_task_was_given_is_not_shown(written: io.StringIO) -> None:
    logging.getLogger("asyncio").error("Exception in callback fail(%s)", SECRET)

    assert not written.getvalue()


def test_with_errors_only_libraries_write_no_warnings_either(configure: Configure) -> None:
    written = configure("console", "ERROR")
    logging.getLogger("kopf.engine").warning("too slow")

    assert not written.getvalue()
