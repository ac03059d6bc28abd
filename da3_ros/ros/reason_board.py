"""Which reasons hold now: said in the log when they begin, now and then, and when they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
import threading
import time
from typing import Protocol

from da3_ros.errors import StreamError
from da3_ros.reasons import Reason, Severity

_REPEAT_S = 30.0
_FADES_S = 5.0
# Of one reason that comes and goes, within the time between two repetitions.
_MOST_BEGINNINGS = 3


class Log(Protocol):
    """Where lines for people go, for example a ROS logger."""

    def info(self, message: str, /) -> object:
        """Take what is good to know."""
        ...

    def warning(self, message: str, /) -> object:
        """Take what somebody should look at."""
        ...

    def error(self, message: str, /) -> object:
        """Take what is broken."""
        ...


@dataclass(frozen=True, slots=True)
class Active:
    """A reason that holds now."""

    reason: Reason
    owner: str
    """Camera, frame or part of the node."""
    text: str
    since_s: float
    """How long it has held."""
    count: int
    """How often it was found."""


@dataclass(frozen=True, slots=True)
class Found:
    """A reason that was found since the start, whether it holds or not."""

    reason: Reason
    owner: str
    """Camera, frame or part of the node."""
    text: str
    """With the numbers of the last time."""
    count: int
    """How often it was found; of what lasts, how often it began."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A reason that was found, as another process takes it over."""

    name: str
    """Of the row."""
    owner: str
    kind: str
    text: str
    count: int
    beginnings: int
    holds: bool
    """Whether it was put on and not taken off."""


@dataclass(slots=True)
class _Entry:
    text: str
    began_s: float
    last_s: float
    fades: bool
    count: int = 1
    said_s: float | None = None


@dataclass(slots=True)
class _Past:
    """What stays of a reason of one owner when it is over."""

    count: int = 0
    beginnings: int = 0
    text: str = ''
    begun_s: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_BEGINNINGS))


_Key = tuple[Reason, str, str]


class ReasonBoard:
    """Takes reasons from any thread and logs them.

    What is found once and lasts is put on by `hold` and taken off by `end`. What is found again
    and again, with every message, goes to `happened`: it holds until it was not found for five
    seconds. `tick` has to be called about once per second.

    A line goes out when a reason begins, every thirty seconds while it holds (not for
    `Severity.INFO`), and when it ends. One that comes and goes has three beginnings in thirty
    seconds.

    Args:
        log: takes the lines.
        clock: monotonic seconds.
        words: the text of a row; that of the table is for a node.
    """

    def __init__(
        self,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        words: Callable[[Reason], str] = lambda reason: reason.value.text,
    ) -> None:
        self.log = log
        """Takes what is no reason, too."""
        # Not the methods themselves: rclpy wants one severity for each place of a call.
        self._say: Mapping[Severity, Callable[[str], object]] = {
            Severity.INFO: lambda line: log.info(line),
            Severity.WARN: lambda line: log.warning(line),
            Severity.ERROR: lambda line: log.error(line),
        }
        self._clock = clock
        self._words = words
        self._lock = threading.Lock()
        self._entries: dict[_Key, _Entry] = {}
        self._past: dict[_Key, _Past] = {}

    def hold(self, reason: Reason, owner: str, kind: str = '', /, **values: object) -> None:
        """Say that a reason holds from now on, or still does with other numbers.

        Args:
            reason: the row of the table.
            owner: camera, frame or part of the node.
            kind: tells apart what has one reason and owner, for example the field of a message.
            values: what the text of the row names.
        """
        self._put(reason, owner, kind, values, fades=False)

    def happened(self, reason: Reason, owner: str, kind: str = '', /, **values: object) -> None:
        """Say that a reason was found; it holds until it is not found any more."""
        self._put(reason, owner, kind, values, fades=True)

    def end(self, reason: Reason, owner: str, kind: str | None = None, /) -> None:
        """Say that a reason does not hold; of every kind, unless one is named."""
        with self._lock:
            over = [
                key
                for key in self._entries
                if key[:2] == (reason, owner) and kind in (None, key[2])
            ]
            lines = [self._ended(key) for key in over]
        self._log(lines)

    def set(
        self, reason: Reason, owner: str, is_so: bool, kind: str = '', /, **values: object
    ) -> None:
        """Hold or end a reason."""
        if is_so:
            self.hold(reason, owner, kind, **values)
        else:
            self.end(reason, owner, kind)

    def end_all(self, owner: str | None = None) -> None:
        """End everything, of one owner or of all, without a line: its cause is gone."""
        with self._lock:
            for key in [k for k in self._entries if owner in (None, k[1])]:
                del self._entries[key]

    def tick(self) -> None:
        """End what was not found any more, and repeat what still holds."""
        now = self._clock()
        with self._lock:
            faded = [k for k, e in self._entries.items() if e.fades and now - e.last_s > _FADES_S]
            lines = [self._ended(key) for key in faded]
            lines += [self._repeated(key, entry, now) for key, entry in self._entries.items()]
        self._log(lines)

    def active(self, owner: str | None = None) -> tuple[Active, ...]:
        """Return what holds now, of one owner or of all, the worst first."""
        now = self._clock()
        with self._lock:
            found = [
                Active(key[0], key[1], entry.text, now - entry.began_s, entry.count)
                for key, entry in self._entries.items()
                if owner in (None, key[1])
            ]
        order = list(Severity)
        return tuple(sorted(found, key=lambda a: (-order.index(a.reason.severity), -a.since_s)))

    def counts(self, owner: str) -> dict[str, int]:
        """Return how often each reason of one owner was found since the start, also those over.

        The name is that of the row in lower case, with the kind behind it where there is one.
        """
        with self._lock:
            return {_name(key): past.count for key, past in self._past.items() if key[1] == owner}

    def found(self) -> tuple[Found, ...]:
        """Return everything that was found since the start: the worst first, then the first."""
        with self._lock:
            found = [
                Found(key[0], key[1], past.text, past.beginnings or past.count)
                for key, past in self._past.items()
            ]
        order = list(Severity)
        return tuple(sorted(found, key=lambda f: -order.index(f.reason.severity)))

    def remembered(self) -> tuple[Remembered, ...]:
        """Return everything that was found since the start, for `recall`."""
        with self._lock:
            on = {key for key, entry in self._entries.items() if not entry.fades}
            return tuple(
                Remembered(
                    *(key[0].name, key[1], key[2]),
                    *(past.text, past.count, past.beginnings),
                    holds=key in on,
                )
                for key, past in self._past.items()
            )

    def recall(self, found: Iterable[Remembered]) -> None:
        """Take what another board found in place of what this one did; what holds here still does.

        Raises:
            StreamError: it names a reason that there is not.
        """
        past: dict[_Key, _Past] = {}
        held: dict[_Key, _Entry] = {}
        now = self._clock()
        for one in found:
            if one.name not in Reason.__members__:
                raise StreamError(f'state: there is no reason {one.name}')
            key = Reason[one.name], one.owner, one.kind
            past[key] = _Past(one.count, one.beginnings, one.text)
            if one.holds:
                held[key] = _Entry(one.text, now, now, fades=False)
        with self._lock:
            self._past = past
            self._entries = held | self._entries

    # ---- under the lock

    def _put(
        self, reason: Reason, owner: str, kind: str, values: Mapping[str, object], *, fades: bool
    ) -> None:
        text = self._words(reason).format(owner=owner, **values)
        key, now = (reason, owner, kind), self._clock()
        with self._lock:
            past = self._past.setdefault(key, _Past())
            past.count += 1
            past.text = text
            entry = self._entries.get(key)
            if entry is not None:
                entry.text, entry.last_s, entry.fades = text, now, fades
                entry.count += 1
                return
            entry = self._entries[key] = _Entry(text, now, now, fades)
            past.beginnings += not fades
            begun = past.begun_s
            if len(begun) == begun.maxlen and now - begun[0] < _REPEAT_S:
                # It comes and goes: the next repetition says so.
                entry.said_s = begun[-1]
                return
            begun.append(now)
            entry.said_s = now
        self._log([(reason.severity, text)])

    def _ended(self, key: _Key) -> tuple[Severity, str] | None:
        entry = self._entries.pop(key)
        was_said = entry.said_s is not None and entry.said_s >= entry.began_s
        if not key[0].value.lasts or not was_said:
            return None
        seconds = self._clock() - entry.began_s
        return Severity.INFO, f'over after {seconds:.1f} s: {entry.text}'

    def _repeated(self, key: _Key, entry: _Entry, now: float) -> tuple[Severity, str] | None:
        severity = key[0].severity
        if severity is Severity.INFO or not key[0].value.lasts:
            return None
        if entry.said_s is not None and now - entry.said_s < _REPEAT_S:
            return None
        entry.said_s = now
        total = self._past[key].count
        times = f', found {total} times' if entry.fades else ''
        return severity, f'{entry.text} (for {now - entry.began_s:.0f} s now{times})'

    def _log(self, lines: list[tuple[Severity, str] | None]) -> None:
        for line in lines:
            if line is not None:
                self._say[line[0]](line[1])


def _name(key: _Key) -> str:
    reason, _, kind = key
    return f'{reason.name.lower()}: {kind}' if kind else reason.name.lower()
