"""What is missing of a bag, collected while it is read."""

from __future__ import annotations

from collections.abc import Hashable

from da3_ros.foreign import plain_line
from da3_ros.notes import Note, NoteCode

_MAX_LENGTH = 1000
_MAX_NOTES = 200
"""Remarks that are kept; a file made of damage has no end of them."""


class BagDamage:
    """Collects remarks about a bag; the same remark counts once, however often it is read."""

    def __init__(self) -> None:
        self._notes: dict[str, Note] = {}
        self._more: dict[int, NoteCode] = {}
        self._skipped: dict[tuple[str, str], dict[Hashable, int]] = {}

    @property
    def notes(self) -> tuple[Note, ...]:
        """All remarks, in the order in which they came, then the messages that were skipped."""
        more = len(self._more)
        # Damage is never hidden behind remarks of less weight.
        codes: tuple[NoteCode, ...] = ('bag_damaged', 'bag_topics_left_out', 'bag_index_rebuilt')
        found = [code for code in codes if code in self._more.values()]
        last = [Note(found[0], f'{more} more remarks of the kind')] if found else []
        return (*self._notes.values(), *last, *self._skips())

    @property
    def lost(self) -> bool:
        """Whether anything of the bag is missing or cannot be read."""
        return any(note.code == 'bag_damaged' for note in self.notes)

    def say(self, code: NoteCode, text: str, **numbers: float) -> None:
        """Add a remark; what a file says in it becomes one printable line."""
        text = plain_line(text, _MAX_LENGTH)
        if text in self._notes or len(self._notes) < _MAX_NOTES:
            self._notes.setdefault(text, Note(code, text, numbers))
        else:
            self._more[hash(text)] = code

    def skip(self, file: str, position: Hashable, reason: str, messages: int = 1) -> None:
        """Count messages that were skipped.

        Args:
            file: name of the split.
            position: of the message or chunk in it, so that it counts once.
            reason: why, without a full stop.
            messages: how many.
        """
        self._skipped.setdefault((file, reason), {})[position] = messages

    def has_skipped(self, file: str, position: Hashable) -> bool:
        """Return whether messages of a position are counted already."""
        return any(f == file and position in at for (f, _), at in self._skipped.items())

    def _skips(self) -> list[Note]:
        notes = []
        for (file, reason), positions in self._skipped.items():
            count = sum(positions.values())
            words = '1 message is' if count == 1 else f'{count} messages are'
            text = f'{file}: {words} skipped: {reason}'
            notes.append(Note('bag_damaged', text, {'skipped_messages': count}))
        return notes
