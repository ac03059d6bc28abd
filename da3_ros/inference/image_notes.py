"""What a user should know of the images of one call, as notes that name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from da3_ros.notes import Note

_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """How much of an image the network does not see."""

    name: str
    share: float
    """Of its view, 0..1."""


def image_notes(names: Sequence[str], remarks: Sequence[Sequence[Note]]) -> tuple[Note, ...]:
    """Return the remarks about N images, those of equal words as one that names the images."""
    of: dict[tuple[str, str], list[str]] = {}
    first: dict[tuple[str, str], Note] = {}
    for name, notes in zip(names, remarks, strict=True):
        for note in notes:
            key = note.code, note.text
            first.setdefault(key, note)
            of.setdefault(key, []).append(name)
    return tuple(
        replace(
            note,
            text=f'{_listed(of[key])}: {note.text}',
            numbers={**note.numbers, 'images': len(of[key])},
        )
        for key, note in first.items()
    )


def crop_notes(views: Sequence[Lost]) -> tuple[Note, ...]:
    """Return what is said when images of different shapes were cropped to one; at most a note."""
    lost = sorted((view for view in views if view.share > 0), key=lambda view: -view.share)
    if not lost:
        return ()
    named = _listed([f'{view.name} {100 * view.share:.0f} %' for view in lost])
    text = (
        f'{len(lost)} of {len(views)} images lose part of their view, because the network takes '
        f'images of one scene in one shape: {named}; rotate or crop them alike, or run them apart '
        '(--each)'
    )
    numbers = {'images': len(lost), 'of': len(views), 'largest_share': lost[0].share}
    return (Note('views_cropped', text, numbers),)


def _listed(names: Sequence[str]) -> str:
    """Return names as a list, of which long ones are cut."""
    more = len(names) - _MOST_NAMES
    shown = ', '.join(names[:_MOST_NAMES])
    return shown if more <= 0 else f'{shown} and {more} more'
