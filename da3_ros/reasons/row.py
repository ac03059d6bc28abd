"""What a row of the table of reasons is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How much is lost."""

    INFO = 'info'
    """Nothing is wrong, but nothing comes either."""
    WARN = 'warn'
    """Depth comes, with a loss."""
    ERROR = 'error'
    """No depth comes, or none of one camera, though it should."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    severity: Severity
    text: str
    """What the log and /diagnostics say; `{owner}` is the camera, the frame or the part of the
    node, other names in braces are what was measured."""
    cause: str
    """What is behind it, for the documentation."""
    remedy: str
    """What to do, for the documentation."""
    lasts: bool = True
    """Whether it goes on until it is over; False for what only happens, which has no end."""
