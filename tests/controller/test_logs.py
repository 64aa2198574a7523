"""What the log shows of exceptions and warnings, also of those that are not the operator's."""

import io
import logging
import warnings
from collections.abc import Iterator

import pytest
from pymongo import AsyncMongoClient

from queue_recovery.controller import logs

SECRET = "hunter2"


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the operator writes at DEBUG."""
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in (*logs._TALKATIVE, *logs._DRIVERS, "queue_recovery", "")}
    handlers, written = list(root.handlers), io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure(request.param, "DEBUG")
        yield written
    for handler in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(handler)
    for handler in handlers:
        handler.filters = [each for each in handler.filters if not isinstance(each, logs.WithoutTexts)]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


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
