"""The list of changes that are not counted, each with the reason.

Two kinds: after most of them the code does the same. Those whose reason begins with `free:` move a
value within what is promised of it, such as how many points are looked at; the tests of what is
promised hold on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.mutants.changes import Change

LIST = Path(__file__).with_name('equivalent.yaml')

FREE = 'free:'
"""How the reason of the second kind begins."""

Key = tuple[str, str, str]
"""File, text of the line, name of the change: they outlive changes elsewhere in the file."""


def key_of(change: Change) -> Key:
    """Return what names a change in the list."""
    return change.file, change.text, change.name


@dataclass(frozen=True)
class Equivalents:
    """Changes that are not counted."""

    why: dict[Key, str]

    @staticmethod
    def read(path: Path) -> Equivalents:
        """Read the list: by file and by the text of the line, the changes with their reasons."""
        content = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
        return Equivalents(
            {
                (file, ' '.join(text.split()), name): ' '.join(why.split())
                for file, lines in content.items()
                for text, names in lines.items()
                for name, why in names.items()
            }
        )

    def reason(self, change: Change) -> str | None:
        """Return why a change is equivalent, or None when it is not listed."""
        file, text, name = key_of(change)
        return self.why.get((file, ' '.join(text.split()), name))

    def stale(self, files: Iterable[str], changes: Iterable[Change]) -> list[Key]:
        """Return the entries for files that fit no change of them any more."""
        wanted = set(files)
        known = {(f, ' '.join(t.split()), n) for f, t, n in map(key_of, changes)}
        return [key for key in self.why if key[0] in wanted and key not in known]
