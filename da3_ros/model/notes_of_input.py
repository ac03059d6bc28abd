"""What networks say of input that they do not use, or use otherwise."""

from da3_ros.notes import Note

UNUSED_INTRINSICS = Note(
    'intrinsics_unused',
    'intrinsics were given without extrinsics: the network takes no intrinsics alone, so they '
    'were not used',
)
PREDICTED_INTRINSICS = Note(
    'intrinsics_predicted',
    'extrinsics were given without intrinsics: the network first predicted the intrinsics that '
    'went in with them',
)
UNENCODED_CAMERAS = Note(
    'cameras_unused',
    'this network has no camera encoder: the given cameras did not go into it, and only with '
    'use_ray_pose is depth brought to their scale',
)
UNUSED_CAMERAS = Note(
    'cameras_unused',
    'this network sees each image alone: the given extrinsics were not used, and depth was not '
    'brought to their scale',
)
NO_RAYS = Note('rays_unused', 'this network predicts no cameras: use_ray_pose has no effect')
