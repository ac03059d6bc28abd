"""A log that keeps what is said."""

from __future__ import annotations


class Lines:
    """Takes lines as a ROS logger does."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        """Of all severities, in order."""

    def info(self, message: str, /) -> None:
        """Keep a line."""
        self.lines.append(message)

    def warning(self, message: str, /) -> None:
        """Keep a line."""
        self.lines.append(message)

    def error(self, message: str, /) -> None:
        """Keep a line."""
        self.lines.append(message)
