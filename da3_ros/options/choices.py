"""What may be chosen where only a few values exist; a type and its values for each."""

from __future__ import annotations

from typing import Literal, get_args

ResizeMethod = Literal[
    'upper_bound_resize', 'upper_bound_crop', 'lower_bound_resize', 'lower_bound_crop'
]
RESIZE_METHODS: tuple[ResizeMethod, ...] = get_args(ResizeMethod)

Runtime = Literal['auto', 'torch', 'openvino', 'onnxruntime']
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

Precision = Literal['auto', 'fp32', 'bf16', 'fp16']
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Rounding = Literal['exact', 'reference']
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)

AttentionKind = Literal['auto', 'sdpa', 'xformers']
ATTENTIONS: tuple[AttentionKind, ...] = get_args(AttentionKind)

Conditioning = Literal['auto', 'off']
CONDITIONINGS: tuple[Conditioning, ...] = get_args(Conditioning)

ReferenceStrategy = Literal['saddle_balanced', 'saddle_sim_range', 'first', 'middle']
REFERENCE_STRATEGIES: tuple[ReferenceStrategy, ...] = get_args(ReferenceStrategy)

ScaleChoice = Literal['auto', 'odometry', 'rig', 'metric_model', 'camera_info', 'none']
SCALE_SOURCES: tuple[ScaleChoice, ...] = get_args(ScaleChoice)

ImageTransport = Literal['raw', 'compressed']
IMAGE_TRANSPORTS: tuple[ImageTransport, ...] = get_args(ImageTransport)

CameraInfoIs = Literal['auto', 'raw', 'rectified']
CAMERA_INFO_IS: tuple[CameraInfoIs, ...] = get_args(CameraInfoIs)

Reliability = Literal['best_effort', 'reliable']
RELIABILITIES: tuple[Reliability, ...] = get_args(Reliability)

DepthEncoding = Literal['32FC1', '16UC1']
DEPTH_ENCODINGS: tuple[DepthEncoding, ...] = get_args(DepthEncoding)

DepthSize = Literal['network', 'input']
DEPTH_SIZES: tuple[DepthSize, ...] = get_args(DepthSize)

ColmapEncoding = Literal['binary', 'text']
COLMAP_ENCODINGS: tuple[ColmapEncoding, ...] = get_args(ColmapEncoding)

SheetSuffix = Literal['jpg', 'png']
SHEET_SUFFIXES: tuple[SheetSuffix, ...] = get_args(SheetSuffix)

TrajectoryMode = Literal[
    'original', 'smooth', 'interpolate', 'interpolate_smooth', 'extend', 'wander', 'dolly_zoom',
    'wobble', 'wobble_inter',
]  # fmt: skip
TRAJECTORY_MODES: tuple[TrajectoryMode, ...] = get_args(TrajectoryMode)

DepthPlace = Literal['hcat', 'vcat']
DEPTH_PLACES: tuple[DepthPlace, ...] = get_args(DepthPlace)

ColourMode = Literal['RGB+D', 'RGB+ED']
COLOUR_MODES: tuple[ColourMode, ...] = get_args(ColourMode)

VideoQuality = Literal['low', 'medium', 'high']
VIDEO_QUALITIES: tuple[VideoQuality, ...] = get_args(VideoQuality)

Automatic = Literal['auto']
AUTOMATIC: tuple[Automatic, ...] = get_args(Automatic)
"""What may stand beside true and false."""

BagStorage = Literal['mcap', 'sqlite3']
BAG_STORAGES: tuple[BagStorage, ...] = get_args(BagStorage)

BagCompression = Literal['zstd', 'lz4', 'none']
BAG_COMPRESSIONS: tuple[BagCompression, ...] = get_args(BagCompression)

UNFINISHED = '.unfinished.'
"""Between a bag's name and a random end: the folder in which it lies until it is complete."""
