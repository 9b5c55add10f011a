"""What functions of workers ask of storage, and what it has answered: a call that has been seen need not run again.

A function of an item does the same whenever storage answers the same. So the operations of a call that has been seen
are done one after the other in the simulated world, where each may go wrong. As soon as an answer is new, the function
runs: it is given the answers so far, and goes on from there.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

MAX_PLACES = 50_000
"""Places that are kept, of a kilobyte or two each; then all are forgotten."""


@dataclass(frozen=True)
class Answer:
    """What storage says to an operation."""

    value: Any
    error: OSError | None
    key: Hashable
    """The same for the same answer."""

    def get(self) -> Any:
        """The value.

        Raises:
            OSError: what went wrong.
        """
        if self.error is not None:
            raise self.error
        return self.value


Ask = Callable[[Any], Answer]
"""Does an operation."""


class NotRepeatedError(BaseException):
    """A function of a worker has not done what it did before when all answers were the same."""


@dataclass(slots=True)
class _Place:
    """A place in the calls of a function with an item."""

    operation: Any = None
    """That is done next; None at the end."""
    result: bytes | None = None
    """At the end, pickled; None also where the function raises."""
    then: dict[Hashable, _Place] = field(default_factory=dict)
    """By the operation's answer."""


class Dialog:
    """A call that runs: it is given the known answers, and the rest is asked for and remembered."""

    def __init__(self, ask: Ask, begin: _Place, known: deque[Answer]) -> None:
        self._ask, self.place, self._known = ask, begin, known
        self.places = 0
        """That are new."""

    def answer(self, operation: Any) -> Answer:
        """The answer to the next operation."""
        if self.place.operation is None:
            self.place.operation = operation
        if operation != self.place.operation:
            raise NotRepeatedError(f"{operation} instead of {self.place.operation}")
        answer = self._known.popleft() if self._known else self._ask(operation)
        if answer.key not in self.place.then:
            self.place.then[answer.key] = _Place()
            self.places += 1
        self.place = self.place.then[answer.key]
        return answer


class Dialogs:
    """The calls that this process has seen."""

    def __init__(self) -> None:
        self._begins: dict[tuple[bytes, bytes], _Place] = {}
        self._places = 0

    def call(self, function: bytes, item: bytes, ask: Ask, run: Callable[[Dialog, Callable[[], Any]], Any]) -> Any:
        """What a function returns for an item, both pickled.

        Args:
            ask: does an operation in the world.
            run: calls what it is given while operations go to a dialog.
        """
        if self._places > MAX_PLACES:
            self._begins.clear()
            self._places = 0
        begin = place = self._begins.setdefault((function, item), _Place())
        known = deque[Answer]()
        while place is not None and place.operation is not None:
            known.append(ask(place.operation))
            place = place.then.get(known[-1].key)
        if place is None or place.result is None:
            dialog = Dialog(ask, begin, known)
            result = run(dialog, lambda: pickle.loads(function)(pickle.loads(item)))  # noqa: S301
            place = dialog.place
            place.result = pickle.dumps(result)
            self._places += dialog.places
        return pickle.loads(place.result)  # noqa: S301
