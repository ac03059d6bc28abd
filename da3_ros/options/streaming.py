"""Options of `da3 stream` alone: which frames are taken, and what is written of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from da3_ros.options.table import Entrance, option

_STREAM = (Entrance.STREAM,)


@dataclass(frozen=True, slots=True)
class StreamInputOptions:
    """Which frames are taken, and what is known of them beforehand."""

    dataset: str = option(
        'auto',
        'Layout of a folder: auto, none for plain images, or tum, euroc, kitti and so on.',
        entrances=_STREAM,
    )
    known_poses: Path | None = option(
        None,
        'Known poses of the camera, or its odometry: a TUM file, or KITTI with a pose for every '
        'image.',
        entrances=_STREAM,
        kind=Path,
        flag='--poses',
    )
    config: Path | None = option(
        None,
        'base_config.yaml of DA3-Streaming; what the command line says counts more.',
        entrances=_STREAM,
        kind=Path,
        # It stands for the options that it sets.
        changes_files=False,
    )


@dataclass(frozen=True, slots=True)
class StreamFileOptions:
    """What is written of a stream beside its poses, and whether anything is."""

    save_frames: bool = option(
        True, 'Write results_output/frame_N.npz with image, depth, conf.', entrances=_STREAM
    )
    sample_ratio: float = option(
        0.015,
        'Share of the points that pcd/*.ply keep.',
        entrances=_STREAM,
        minimum=0,
        maximum=1,
    )
    conf_threshold_coef: float = option(
        0.75,
        'Confidence (less 1) that points of pcd/*.ply need, as a multiple of its mean.',
        entrances=_STREAM,
        minimum=0,
        maximum=100,
    )
    dry_run: bool = option(
        False,
        'Say what would be done: frames, windows, time, memory and disk.',
        entrances=_STREAM,
        flag='--dry-run',
        changes_files=False,
    )
