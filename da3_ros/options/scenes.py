"""Options of what commands read and record: videos, datasets, folders, bags."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.options.choices import BAG_STORAGES, RELIABILITIES, BagStorage, Reliability
from da3_ros.options.table import Entrance, Variant, option

_SCENES = (Entrance.SCENES,)


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How images of a scene are read."""

    fps: float = option(
        1.0,
        'Frames per second to take of a video.',
        entrances=(*_SCENES, Entrance.STREAM),
        variants={
            Entrance.STREAM: Variant(
                0.0,
                'Of a video: frames per second to take, 0 for all. Of images: how many there are '
                'per second where their names are no times, 0 for 30.',
            )
        },
    )
    keep_frames: bool = option(True, 'Keep frames of videos in input_images/.', entrances=_SCENES)
    sparse_subdir: str = option(
        '', 'Folder of the model inside sparse/; default: itself, else 0.', entrances=_SCENES
    )
    align_to_input_ext_scale: bool = option(
        True,
        "Bring depth to the given cameras' scale, and keep them.",
        entrances=(Entrance.SCENES, Entrance.INFERENCE),
    )
    image_extensions: str = option(
        'png,jpg,jpeg,webp,bmp,tiff,tif,avif,heic,heif,hif',
        'Files that count as images.',
        entrances=(*_SCENES, Entrance.STREAM),
        # The key of --resume names the files.
        changes_files=False,
    )
    resume: bool = option(
        False,
        'Go on: leave out scenes that are done.',
        entrances=_SCENES,
        flag='--resume',
        changes_files=False,
    )
    each: bool = option(
        False,
        'Every image is a scene: EXPORT_DIR/NAME/.',
        entrances=_SCENES,
        flag='--each',
        changes_files=False,
    )


@dataclass(frozen=True, slots=True)
class BagOptions:
    """How a bag of camera images is written."""

    storage: BagStorage | None = option(
        None,
        "Format of the bag; default: by OUT's suffix, else mcap.",
        entrances=(Entrance.BAGS,),
        kind=str,
        choices=BAG_STORAGES,
    )
    compressed: bool = option(
        False, 'Write jpeg images.', entrances=(Entrance.BAGS,), flag='--compressed'
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which part of a recording goes through the pipeline, and how a run goes on."""

    start: float = option(
        0.0,
        'Seconds to leave out at the beginning of the earliest bag.',
        entrances=(Entrance.BAG, Entrance.PLAY),
        minimum=0.0,
        variants={Entrance.PLAY: Variant(summary='Seconds to leave out at the start.')},
    )
    duration: float | None = option(
        None,
        'Seconds to use; default: all.',
        entrances=(Entrance.BAG, Entrance.PLAY),
        kind=float,
        minimum=0.0,
        variants={Entrance.PLAY: Variant(summary='Seconds of the bag to play.')},
    )
    every: int = option(
        1,
        'Use every n-th set.',
        entrances=(Entrance.BAG, Entrance.STREAM),
        minimum=1,
        variants={Entrance.STREAM: Variant(summary='Take every n-th frame of those.')},
    )
    restart: bool = option(
        False,
        'Begin anew where a run was interrupted.',
        entrances=(Entrance.BAG, Entrance.STREAM),
        flag='--restart',
        changes_files=False,
    )


@dataclass(frozen=True, slots=True)
class PlaybackOptions:
    """How a bag is played."""

    qos: Reliability = option(
        'reliable',
        'Offered reliability; latched topics are reliable.',
        entrances=(Entrance.PLAY,),
        choices=RELIABILITIES,
    )


INPUT = InputOptions()
"""The defaults, for signatures that need one."""
PLAYBACK = PlaybackOptions()
RUN = RunOptions()
