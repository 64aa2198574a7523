"""Errors that a fake raises when a test says so, and the calls that it has received."""

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat


class Faults:
    """The base of the fakes: it records calls by the names of the methods, and raises prepared errors."""

    def __init__(self, log: list[str] | None = None) -> None:
        """Begin without calls and errors; `log` may be shared by several fakes."""
        self.calls: list[str] = []
        self._log = [] if log is None else log
        self.on_call: dict[str, Callable[[], object]] = {}
        """Called at each call of a method, before it does anything."""
        self.on_any_call: Callable[[], None] = lambda: None
        self._errors: dict[str, Iterator[Exception]] = {}
        self._every: Exception | None = None

    def fail(self, method: str, *errors: Exception) -> None:
        """Raise these errors, one after the other, at the next calls of a method."""
        self._fail(method, errors)

    def fail_always(self, method: str, error: Exception) -> None:
        """Raise this error at each call of a method, until `heal`."""
        self._fail(method, repeat(error))

    def fail_every_call(self, error: Exception) -> None:
        """Raise this error at each call of every method, until `heal`."""
        self._every = error

    def heal(self) -> None:
        """Raise no errors any more."""
        self._errors.clear()
        self._every = None

    def _fail(self, method: str, errors: Iterable[Exception]) -> None:
        self._errors[method] = iter(errors)

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self._log.append(method)
        self.on_any_call()
        self.on_call.get(method, lambda: None)()
        error = next(self._errors.get(method, iter(())), self._every)
        if error is not None:
            raise error
