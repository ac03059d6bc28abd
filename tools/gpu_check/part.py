"""What a part is and what comes of it. Nothing here loads torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
import math
from pathlib import Path
from typing import Any, Literal

Status = Literal['PASS', 'FAIL', 'SKIP']

PACKAGE = 'depth_anything_3'
"""Of the official code."""


class Skipped(Exception):  # noqa: N818 - it is no error
    """Raised by a part that cannot run here; the message says why."""


@dataclass(frozen=True)
class Settings:
    """What every part is told."""

    device: str
    """`cuda` or `cpu`."""

    goldens: str
    """Folder of the stored cases."""

    official: str = ''
    """Folder of the official code; empty where nothing is compared with it."""


@dataclass(frozen=True)
class Part:
    """One line of the report."""

    topic: str
    subject: str
    group: str
    """Parts of one group share a process, and the network that it holds."""

    limit_s: float
    """The part is ended after this time; for the first of a process that includes its start."""

    run: str
    """`module:function`; the function takes `Settings` and the subject and returns `Outcome`."""

    on_cpu: bool = False
    """Whether it also runs, at tiny sizes, where there is no CUDA device."""

    @property
    def name(self) -> str:
        """Return the name for `--only`; the topic alone names all its parts."""
        return f'{self.topic}.{self.subject}'


@dataclass(frozen=True)
class Outcome:
    """What a part found out."""

    text: str
    """One line."""

    failures: tuple[str, ...] = ()
    """What is wrong; the part has failed when there is any."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    """Numbers for the report; anything that JSON knows."""


@dataclass(frozen=True)
class Result:
    """What the report keeps of a part."""

    name: str
    status: Status
    reason: str
    """One line: what was found, what is wrong, or why it did not run."""

    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ''
    """Of an exception, or the last that a process said before it ended."""

    def line(self) -> str:
        """Return the line that is printed."""
        if self.status == 'SKIP':
            return f'SKIP({self.reason}) {self.name}'
        return f'{self.status} {self.name}: {self.reason} [{self.seconds:.1f} s]'

    def as_json(self) -> dict[str, Any]:
        """Return what JSON can hold; numbers that are none become text."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def official_root(folder: Path) -> Path | None:
    """Return where the official package lies in an installation or a checkout; None if nowhere."""
    roots = (folder, folder / 'src')
    return next((root for root in roots if (root / PACKAGE).is_dir()), None)


def result_of(part: Part, outcome: Outcome, seconds: float) -> Result:
    """Return the result of a part that ran to its end."""
    if not outcome.failures:
        return Result(part.name, 'PASS', outcome.text, seconds, outcome.figures)
    more = f' and {len(outcome.failures) - 1} more' if len(outcome.failures) > 1 else ''
    figures = {**outcome.figures, 'failures': list(outcome.failures)}
    return Result(part.name, 'FAIL', outcome.failures[0] + more, seconds, figures)


def one_line(error: BaseException) -> str:
    """Return an exception as one line."""
    first = next(iter(str(error).strip().splitlines()), '')
    return f'{type(error).__name__}: {first}' if first else type(error).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
