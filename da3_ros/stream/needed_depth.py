"""Which views of a window must have depth, which is most of what a window costs."""

from __future__ import annotations

from collections.abc import Mapping

from da3_ros.stream.alignment import Anchor, ViewKey
from da3_ros.types import CameraFrame, FrameSet, ViewId, Window


def needed_depth(window: Window, anchors: Mapping[ViewKey, Anchor]) -> frozenset[ViewId]:
    """Return the views whose depth places a window.

    All views of sets that have no place yet, since these are published; and of those that have
    one the newest set with known depth, by which the scale is chained.

    Args:
        window: what is about to be estimated.
        anchors: views that have a place.
    """
    new = [frame_set for frame_set in window.sets if not _is_placed(frame_set, anchors)]
    chain = next((c for s in reversed(window.sets) if (c := _chain(s, anchors))), [])
    return frozenset(frame.id for frame_set in new for frame in frame_set.frames) | frozenset(
        frame.id for frame in chain
    )


def _is_placed(frame_set: FrameSet, anchors: Mapping[ViewKey, Anchor]) -> bool:
    return all((frame.camera, frame.stamp_ns) in anchors for frame in frame_set.frames)


def _chain(frame_set: FrameSet, anchors: Mapping[ViewKey, Anchor]) -> list[CameraFrame]:
    """Return the frames of a set by whose depth the scale can be chained."""
    found = []
    for frame in frame_set.frames:
        anchor = anchors.get((frame.camera, frame.stamp_ns))
        if anchor is not None and anchor.sample is not None:
            found.append(frame)
    return found
