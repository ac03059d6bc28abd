"""Frozen values that travel between layers, and the roles that layers play for each other.

Numpy only. Images are uint8 RGB (H, W, 3); depth is z along the optical axis; stamps are integer
nanoseconds; poses are world_from_camera of the optical frame. Arrays are read-only by contract:
whoever needs another value makes another array.
"""

from da3_ros.types.frames import CameraFrame, FrameSet, ViewId, Window
from da3_ros.types.images import ColourImage, FloatImage, Mask
from da3_ros.types.predictions import (
    Caution,
    Conditioning,
    Estimator,
    ForgetsViews,
    NetworkEstimator,
    SaysWhatComputes,
    ViewPrediction,
    WindowPrediction,
)
from da3_ros.types.priors import KnownPoses, PosePrior, RigCalibration, known_pose, usable_poses
from da3_ros.types.results import (
    METRES_FROM,
    AlignmentMethod,
    AlignmentReport,
    InputGeometry,
    PosedSet,
    PosedView,
    ScaleSource,
    WindowResult,
)

__all__ = [
    'METRES_FROM',
    'AlignmentMethod',
    'AlignmentReport',
    'CameraFrame',
    'Caution',
    'ColourImage',
    'Conditioning',
    'Estimator',
    'FloatImage',
    'ForgetsViews',
    'FrameSet',
    'InputGeometry',
    'KnownPoses',
    'Mask',
    'NetworkEstimator',
    'PosePrior',
    'PosedSet',
    'PosedView',
    'RigCalibration',
    'SaysWhatComputes',
    'ScaleSource',
    'ViewId',
    'ViewPrediction',
    'Window',
    'WindowPrediction',
    'WindowResult',
    'known_pose',
    'usable_poses',
]
