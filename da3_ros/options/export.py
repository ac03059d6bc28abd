"""Options of exports: what is in the files, and what a command does with its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import re

from da3_ros.errors import ExportError
from da3_ros.options.choices import (
    COLMAP_ENCODINGS,
    COLOUR_MODES,
    DEPTH_PLACES,
    DEPTH_SIZES,
    SHEET_SUFFIXES,
    TRAJECTORY_MODES,
    VIDEO_QUALITIES,
    ColmapEncoding,
    ColourMode,
    DepthPlace,
    DepthSize,
    SheetSuffix,
    TrajectoryMode,
    VideoQuality,
)
from da3_ros.options.table import Entrance, Variant, check_group, option

_MAX_FPS = 240
_MAX_SIDE_PX = 16384
_NAME = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}')

_SCENES, _EXPORT, _STREAM = Entrance.SCENES, Entrance.EXPORT, Entrance.STREAM
_INFERENCE, _PREDICTION = Entrance.INFERENCE, Entrance.PREDICTION
_COMMANDS = (_SCENES, _STREAM, _EXPORT)
_EVERY = (_SCENES, _STREAM, _EXPORT, _INFERENCE, _PREDICTION)
_PYTHON = (_PREDICTION,)


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """Choices of more than one format, and of formats with one choice.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    conf_thresh_percentile: float = option(
        40.0,
        'Confidence that points need.',
        entrances=_EVERY,
        details='A percentile of all known ones: points of glb, ply and colmap below it are left '
        'out. Views without confidence keep all their points.',
        unit='%',
        minimum=0,
        maximum=100,
    )
    num_max_points: int = option(
        1_000_000,
        'Most points of a file.',
        entrances=_EVERY,
        details='glb, ply and colmap thin a scene with more points to exactly this number, by '
        'the same choice every time.',
        minimum=1,
    )
    colmap_encoding: ColmapEncoding = option(
        'binary',
        'Whether colmap writes .bin or .txt files.',
        entrances=_PYTHON,
        choices=COLMAP_ENCODINGS,
    )
    depth_vis_suffix: SheetSuffix = option(
        'jpg',
        'Whether depth_vis writes JPEG (quality 95) or lossless PNG.',
        entrances=_PYTHON,
        choices=SHEET_SUFFIXES,
    )
    depth_vis_plain: bool = option(
        False,
        'Whether depth_vis is colour beside depth at the size of the depth and nothing else.',
        entrances=_PYTHON,
        details='Else small pictures are enlarged to 504 pixels, and a strip below says which '
        'depths the colours are.',
    )
    feat_vis_fps: int = option(
        15,
        'Pictures per second of the videos of feat_vis.',
        entrances=(_SCENES, _INFERENCE, _PREDICTION),
        minimum=1,
        maximum=_MAX_FPS,
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_group(self, ExportError)


@dataclass(frozen=True, slots=True)
class GlbOptions:
    """Choices of glb alone.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    conf_thresh: float = option(
        1.0,
        'Points of less confidence are left out even when the percentile would keep them.',
        entrances=_PYTHON,
        details='1, the least there is, leaves it to the percentile.',
        minimum=0,
        variants={_PREDICTION: Variant(1.05)},
    )
    ensure_thresh_percentile: float = option(
        90.0,
        'Most that conf_thresh leaves out of all known depth.',
        entrances=_PYTHON,
        unit='%',
        minimum=0,
        maximum=100,
    )
    filter_black_bg: bool = option(
        False,
        'Whether pixels whose three channels are all below 16 give no points.',
        entrances=_PYTHON,
    )
    filter_white_bg: bool = option(
        False,
        'Whether pixels whose three channels are all 240 or above give no points.',
        entrances=_PYTHON,
    )
    show_cameras: bool = option(True, 'Draw the frustums of the cameras in glb.', entrances=_EVERY)
    camera_size: float = option(
        0.03,
        'Depth of the frustums as a share of the extent of the points.',
        entrances=_PYTHON,
        minimum=0,
        above_minimum=True,
    )
    export_depth_vis: bool = option(
        False,
        'Whether the pictures of depth_vis, and scene.jpg, a copy of the first, come with it.',
        entrances=_PYTHON,
        variants={_PREDICTION: Variant(True)},
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_group(self, ExportError)


@dataclass(frozen=True, slots=True)
class GsPlyOptions:
    """Choices of gs_ply: which Gaussians are kept, and how much of their colour.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    views_interval: int | None = option(
        1,
        'Gaussians of every n-th view are kept, beginning with the first.',
        entrances=_PYTHON,
        details='None for a choice that leaves at most 23 views: one twelfth of their number, '
        'rounded down.',
        minimum=1,
        optional=True,
        aliases=('gs_views_interval',),
    )
    border_share: float = option(
        8 / 256,
        'Share of the height and of the width that each side of a view loses.',
        entrances=_PYTHON,
        minimum=0,
        maximum=0.5,
    )
    depth_quantile: float = option(
        0.9,
        "Gaussians of pixels deeper than this quantile of their view's depth are left out.",
        entrances=_PYTHON,
        minimum=0,
        maximum=1,
    )
    min_opacity: float = option(
        0.0,
        'Gaussians of less opacity are left out.',
        entrances=_PYTHON,
        minimum=0,
        maximum=1,
    )
    all_harmonics: bool = option(
        False,
        'Whether colour that depends on the direction is kept too (columns f_rest_*).',
        entrances=_PYTHON,
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_group(self, ExportError)


@dataclass(frozen=True, slots=True)
class FlightOptions:
    """Choices of gs_video that can be named: how the camera moves, what the pictures look like."""

    trj_mode: TrajectoryMode = option(
        'extend',
        'How the camera moves along the given poses; see `export.gs_trajectory`.',
        entrances=_PYTHON,
        details='A single view can only wander, or zoom. wobble_inter is another name of wobble.',
        choices=TRAJECTORY_MODES,
    )
    out_image_hw: tuple[int, int] | None = option(
        None,
        'Height and width of the pictures; None for those of the first camera.',
        entrances=_PYTHON,
        kind=Sequence,
        unit='px',
    )
    vis_depth: DepthPlace | None = option(
        'hcat',
        'Where the coloured depth stands: right of the colours, below them, or nowhere (None).',
        entrances=_PYTHON,
        choices=DEPTH_PLACES,
        optional=True,
    )
    color_mode: ColourMode = option(
        'RGB+ED',
        "Which depth is shown: the mean of the Gaussians' depth by their share in the pixel (ED), "
        'or the sum (D), smaller where they cover less.',
        entrances=_PYTHON,
        choices=COLOUR_MODES,
    )
    video_quality: VideoQuality = option(
        'high',
        'How much the H.264 encoder may lose, and how long it may take.',
        entrances=_PYTHON,
        choices=VIDEO_QUALITIES,
    )
    output_name: str | None = option(
        None,
        'Name of the file without its suffix; None for 0000_ and the value of trj_mode.',
        entrances=_PYTHON,
        details="Letters, digits, '_', '.' and '-', not hidden.",
        kind=str,
    )
    chunk_size: int = option(
        4,
        'Pictures that the renderer makes at once.',
        entrances=_PYTHON,
        details='More is faster on a GPU and takes more of its memory. The pictures do not '
        'depend on it.',
        minimum=1,
    )
    enable_tqdm: bool = option(
        False,
        'Show a progress bar while pictures are rendered.',
        entrances=_PYTHON,
        changes_files=False,
    )

    def check(self) -> None:
        """Check the bounds.

        Raises:
            ExportError: a field is outside its bounds.
        """
        check_group(self, ExportError)
        if self.out_image_hw is not None and (
            len(self.out_image_hw) != 2
            or not all(1 <= side <= _MAX_SIDE_PX for side in self.out_image_hw)
        ):
            raise ExportError(
                f'out_image_hw: expected height and width of 1..{_MAX_SIDE_PX}, '
                f'got {self.out_image_hw}'
            )
        if self.output_name is not None and not _NAME.fullmatch(self.output_name):
            raise ExportError(
                "output_name: expected letters, digits, '_', '.' and '-', at most 100 and no "
                f"'.' in front, got {self.output_name!r}"
            )


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """What a command writes, and where."""

    export_dir: Path = option(
        Path('workspace/gallery/scene'),
        'Folder of the results.',
        entrances=(*_COMMANDS, Entrance.ABOUT, _INFERENCE),
        variants={
            Entrance.ABOUT: Variant(summary='Folder of results, to look at its disk.'),
            _INFERENCE: Variant(None),
        },
        changes_files=False,
    )
    export_format: str = option(
        'glb',
        'Formats joined by "-", e.g. mini_npz-glb.',
        entrances=_EVERY,
        variants={_INFERENCE: Variant('mini_npz'), _PREDICTION: Variant('mini_npz-glb')},
    )
    export_feat: str = option(
        '', 'Blocks for feat_vis, e.g. 5,11; empty for none.', entrances=(_SCENES,)
    )
    depth_size: DepthSize = option(
        'network',
        "Size of depth, confidence, sky and colours: the network's, or that of the images.",
        entrances=(_SCENES, _INFERENCE),
        details='Nothing is mixed across edges of depth. The intrinsics are those of that size; '
        'what the network did not see of an image has no depth. Not with Gaussians.',
        choices=DEPTH_SIZES,
    )
    save_depth: bool = option(
        False,
        'Also write depth: the numbers (mini_npz), and pictures of them, in millimetres '
        '(depth_png) where the unit is known, else grey (depth_image).',
        entrances=(_SCENES, _PREDICTION),
        flag='--save-depth',
    )
    save_conf: bool = option(
        False,
        'Also write the raw confidence of every view (conf/NNNN.npy).',
        entrances=(_SCENES,),
        flag='--save-conf',
    )
    overwrite: bool = option(
        False,
        'Replace earlier files of the same formats.',
        entrances=(*_EVERY, Entrance.BAGS, Entrance.BAG, Entrance.EVAL),
        flag='--overwrite',
        variants={
            Entrance.BAGS: Variant(summary='Replace OUT.'),
            Entrance.BAG: Variant(summary='Replace OUT.'),
            Entrance.EVAL: Variant(summary='Replace files of the same names.'),
            # As upstream: one file after the other, by a rename, and nothing else is touched.
            Entrance.INFERENCE: Variant(default=True),
            Entrance.PREDICTION: Variant(default=True),
        },
        changes_files=False,
    )
    auto_cleanup: bool = option(
        False,
        'Remove earlier results of da3 from the folder, once the new ones are there.',
        entrances=_COMMANDS,
        details='What da3 did not write stays; under a name of results it is refused.',
        changes_files=False,
    )
    as_json: bool = option(
        False,
        'One JSON object on stdout.',
        entrances=(
            *_COMMANDS,
            Entrance.ENGINES,
            Entrance.EVAL,
            Entrance.ABOUT,
            Entrance.BAG,
        ),
        flag='--json',
        changes_files=False,
    )


CONTENT = ContentOptions()
"""The defaults, for signatures that need one."""
GLB = GlbOptions()
RESULTS = ResultOptions()
