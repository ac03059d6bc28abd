"""Words of rows where there is no node: of a recording nobody can change driver or publisher."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from da3_ros.reasons.table import Reason

_TEXTS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.CAMERA_STOPPED: (
            'camera {owner}: no images on {topic} for {silent_s:.1f} s of the recording, in which '
            'others go on (limit {limit_s:g} s); {images} came before. {others}'
        ),
        Reason.CAMERAS_OUT_OF_PHASE: (
            'camera {owner}: its images are always {offset_ms:.1f} ms from those of camera '
            '{other}, and sync_tolerance_s allows {limit_ms:.1f} ms: they never meet in a set. '
            'Set sync_tolerance_s to {needed_s:g} or more and accept the motion between them.'
        ),
        Reason.CLOCKS_APART: (
            'camera {owner}: its stamps are {offset_s:.3f} s from those of camera {other} that '
            'were recorded at the same time (limit: sync_tolerance_s + sync_wait_s, {limit_s:g} '
            's): their clocks differ{guess}. Name cameras of one clock by --topic{or_wait}.'
        ),
        Reason.CALIBRATION_MISSING: (
            'camera {owner}: no camera_info on {topic} for {images} images: {why}. The '
            "network's own intrinsics are used, and no focal length gives the metre; another "
            'topic is named by --topic {owner}.info=/TOPIC.'
        ),
        Reason.CALIBRATION_SIZE: '{source}, {problem}; {used}.',
        Reason.CALIBRATION_IMPLAUSIBLE: '{source}, {problem}; {used}.',
        Reason.DISTORTION_LEFT: (
            '{source}, field d: lens distortion ({distortion}) is not undone here; depth near '
            'the borders is off by it. {advice}; where the images have none left, set '
            'camera_info_is to rectified.'
        ),
        Reason.FRAME_MISSING: (
            '{source}, field header.frame_id: it is empty, so that there is no TF for this camera '
            'and its clouds have no frame.'
        ),
        Reason.FRAME_SHARED: (
            'frame {owner}: cameras {cameras} have the same frame_id, and a frame is at one place '
            'only; no transform of it is written. Set rig.<camera>.base_from_camera of each.'
        ),
        Reason.FRAME_NOT_OPTICAL: (
            'camera {owner}: frame {frame} does not look like an optical frame (z ahead, x right, '
            'y down, REP 103): {problem}. Depth images are right, poses and clouds are rotated; '
            'poses are right with rig.{owner}.base_from_camera.'
        ),
        Reason.TF_TAKEN: (
            'frame {owner}: the recording has {parent} to {owner} on {topic}; it is not written '
            'again ({parameter} is auto) until {limit_s:g} s of the recording have gone without '
            'it.'
        ),
        Reason.TF_CONFLICT: (
            'frame {owner}: {own_parent} to {owner} is written, and the recording has {parent} to '
            '{owner} on {topic}, and a frame has one parent only: the two cannot be played '
            'together; set {parameter} to auto or false.'
        ),
    }
)


def recorded_text(reason: Reason) -> str:
    """Return the text of a row as `da3 bag` says it; it names the same values."""
    return _TEXTS.get(reason, reason.value.text)
