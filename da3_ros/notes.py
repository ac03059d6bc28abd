"""Notes: what a user should know about a result, as values.

Code decides by `code`, never by the words. Messages, logs and files get the words, joined by
`joined` at the very end; nothing takes them apart again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

NoteCode = Literal[
    # of images and of how they were read
    'image_first_of_several',
    'image_pixels_not_square',
    'image_transparent',
    'image_values',
    'views_cropped',
    # of a network and of how it was run
    'calibration_left_out',
    'caution',
    'cameras_unused',
    'graphs_off',
    'images_smaller',
    'intrinsics_predicted',
    'intrinsics_unused',
    'known_poses_unusable',
    'no_metric_scale',
    'pixels_left_out',
    'rays_unused',
    'runtime_torch',
    'views_in_chunks',
    # of poses that are known beforehand
    'odometry_incomplete',
    'prior_left_out',
    'transform_missing',
    # of the scale
    'became_metric',
    'distances_given_only',
    'no_metric_source',
    'one_distance',
    'scale_absurd',
    'scale_followed',
    'scale_kept',
    'scale_off',
    'scale_source_missing',
    'scale_source_replaced',
    # of a window's place in the world
    'depth_changed',
    'no_shared_views',
    'placed_by_odometry',
    'rig_contradicts',
    'views_contradict',
    'window_refused',
    # of a dataset that is read
    'dataset_calibration',
    'dataset_depth_missing',
    'dataset_files_missing',
    'dataset_lines_left_out',
    'dataset_poses_left_out',
    'dataset_stamps',
    'dataset_truth_missing',
    # of a trajectory that is read
    'trajectory_doubled',
    'trajectory_lines_left_out',
    'trajectory_nanoseconds',
    'trajectory_quaternions',
    'trajectory_unordered',
    'trajectory_unstamped',
    # of a bag that is read
    'bag_damaged',
    'bag_index_rebuilt',
    'bag_topics_left_out',
    'transforms_of_earlier_run',
    # of a video that is read
    'video_damaged',
    'video_file',
    'video_times',
]
"""What a note is about. A code keeps its meaning; new ones may come."""

SEPARATOR = '; '
"""Between the sentences of several notes in one text."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that a user should know about a result."""

    code: NoteCode
    """What it is about, the same whatever the numbers are."""
    text: str
    """The sentence with its numbers, without a full stop."""
    numbers: Mapping[str, float] = field(default_factory=dict, hash=False)
    """The same numbers by name, with the unit as suffix where they have one."""


def joined(notes: Iterable[Note]) -> str:
    """Return the sentences of notes as one text for people, empty without notes."""
    return SEPARATOR.join(note.text for note in notes)
