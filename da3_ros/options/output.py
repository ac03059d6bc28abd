"""Options of what the node receives and publishes."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.options.choices import (
    AUTOMATIC,
    CAMERA_INFO_IS,
    DEPTH_ENCODINGS,
    DEPTH_SIZES,
    IMAGE_TRANSPORTS,
    RELIABILITIES,
    Automatic,
    CameraInfoIs,
    DepthEncoding,
    DepthSize,
    ImageTransport,
    Reliability,
)
from da3_ros.options.table import Entrance, Variant, option

_NODE = (Entrance.NODE,)
_RUN = (Entrance.NODE, Entrance.BAG)
_BOTH = (Entrance.NODE, Entrance.LAUNCH)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What the node publishes and how."""

    image_transport: ImageTransport = option(
        'raw',
        'Image topics to subscribe to.',
        entrances=_RUN,
        choices=IMAGE_TRANSPORTS,
        variants={
            Entrance.BAG: Variant(summary='Images to take of a camera that has both kinds.')
        },
    )
    rectify: bool = option(
        False,
        'Undo the lens distortion that camera_info gives.',
        entrances=_RUN,
        details='Models: plumb_bob, rational_polynomial, equidistant. What is published then '
        'belongs to the rectified image.',
    )
    camera_info_is: CameraInfoIs = option(
        'auto',
        'What the images are that camera_info comes with: raw (K and D hold) or rectified (P '
        'holds, without distortion).',
        entrances=_RUN,
        details='auto: rectified where the last part of the image topic, after remapping, begins '
        'with image_rect.',
        choices=CAMERA_INFO_IS,
    )
    mono16_bits: int = option(
        16,
        'How many bits of 16-bit images (mono16, bayer 16) the sensor uses, counted from the '
        'lowest.',
        entrances=_RUN,
        details='The upper 8 of these are kept; larger values are white.',
        minimum=8,
        maximum=16,
    )
    max_image_pixels: int = option(
        100_000_000,
        'Images with more pixels are refused before they are decoded.',
        entrances=_RUN,
        minimum=1,
        maximum=1_000_000_000,
    )
    image_reliability: Reliability = option(
        'best_effort',
        'QoS of the image subscriptions; best_effort receives from both kinds of publisher.',
        entrances=_NODE,
        choices=RELIABILITIES,
    )
    queue_depth: int = option(
        10, 'Depth of the queues of all topics.', entrances=_NODE, minimum=1, maximum=1000
    )
    odom_frame: str = option(
        'odom',
        'World frame of poses and merged points.',
        entrances=_RUN,
        details='Where it is prior_frame, the robot stands in it as that odometry says; else it '
        'starts where the robot is first.',
    )
    base_frame: str = option(
        'base_link', 'Body frame that the rig is calibrated to.', entrances=_RUN
    )
    map_frame: str = option(
        'map', 'Frame above odom_frame, used by publish_map_tf.', entrances=_RUN
    )
    publish_tf: bool | Automatic = option(
        'auto',
        'Publish odom to base (rig known) or odom to every optical frame (rig unknown).',
        entrances=(*_BOTH, Entrance.BAG),
        details='auto: only frames that nobody else publishes, after listening for a second; a '
        'frame that another node publishes is left to it until five seconds have gone without '
        'it. true: whoever else does. Where fixed joints lead up from the frame, its topmost '
        'ancestor is published instead, since a frame has one parent.',
        kind=bool,
        choices=AUTOMATIC,
    )
    publish_map_tf: bool | Automatic = option(
        False,
        'Publish an identity map to odom.',
        entrances=_RUN,
        details='auto: only while nobody else does, as with publish_tf.',
        kind=bool,
        choices=AUTOMATIC,
    )
    use_tf_static: bool = option(
        True,
        'Read the rig (base_frame to optical frames) from /tf_static where not given.',
        entrances=_RUN,
    )
    prior_frame: str = option(
        '',
        'Fixed frame of an odometry on /tf (wheels, legs, a tracker); empty for none.',
        entrances=_RUN,
        details='It gives the scale and poses for conditioning. What this node publishes itself '
        'is never followed. It may be odom_frame, unless publish_tf is true: with auto the '
        'odometry is left to the node that publishes it.',
    )
    tf_wait_s: float = option(
        0.1,
        'Longest wait for a transform of /tf that is newer than an image.',
        entrances=_RUN,
        details='The images then go on without.',
        unit='s',
        minimum=0.0,
        maximum=5.0,
    )
    depth_encoding: DepthEncoding = option(
        '32FC1',
        'Depth image in metres as float, or in millimetres as uint16 (0 unknown).',
        entrances=_RUN,
        choices=DEPTH_ENCODINGS,
    )
    depth_size: DepthSize = option(
        'network',
        "Size of depth, confidence, sky, colour and points of a camera: the network's, or that of "
        'the input image after crop_px.',
        entrances=_RUN,
        details='Nothing is mixed across edges of depth.',
        choices=DEPTH_SIZES,
        dynamic=True,
    )
    min_depth_m: float = option(
        0.0,
        'Depth nearer than this is unknown.',
        entrances=_RUN,
        unit='m',
        minimum=0.0,
        maximum=1e6,
        dynamic=True,
    )
    max_depth_m: float = option(
        100.0,
        'Depth beyond this is +Inf and no point.',
        entrances=_RUN,
        unit='m',
        minimum=0.01,
        maximum=1e6,
        dynamic=True,
    )
    min_confidence: float = option(
        1.0,
        "Depth whose confidence (DA3's raw, >= 1) is below is unknown.",
        entrances=_RUN,
        minimum=1.0,
        maximum=1e6,
        dynamic=True,
    )
    edge_filter: float = option(
        0.1,
        'Points in the air between a near and a far surface are left out; 0 keeps them.',
        entrances=_RUN,
        details='It is the smallest change of depth from pixel to pixel that is an edge, as a '
        'share of the nearer one. Depth images are not filtered.',
        minimum=0.0,
        maximum=10.0,
        dynamic=True,
    )
    voxel_size_m: float = option(
        0.05,
        'Edge of the voxels that thin the merged points.',
        entrances=_RUN,
        details='0 keeps every point.',
        unit='m',
        minimum=0.0,
        maximum=100.0,
        dynamic=True,
    )
    export_dir: str = option(
        '~/.ros/da3_exports',
        'Folder that every export stays in; ~ is the home folder.',
        entrances=_NODE,
    )
    export_queue: int = option(
        4,
        'Exports that may wait while another one is written; more are refused with the reason.',
        entrances=_NODE,
        details='Each writes the scene as it is when its turn comes.',
        minimum=1,
        maximum=1000,
    )
    viewer: bool = option(
        False,
        'Serve a page with clouds, cameras, trajectory and a map for browsers.',
        entrances=_BOTH,
        details='Needs the Python package viser. It costs nothing while no browser looks.',
    )
    viewer_host: str = option(
        '127.0.0.1',
        'Address of that page: 127.0.0.1 for this machine only, 0.0.0.0 for everyone in the '
        'network.',
        entrances=_BOTH,
        details='Everyone who opens it sees what the cameras see.',
    )
    viewer_port: int = option(
        8080,
        'Port of that page; 0 for any free one, which the log shows.',
        entrances=_BOTH,
        minimum=0,
        maximum=65535,
    )
    autostart: bool = option(
        True,
        'Configure and activate the node by itself at the start.',
        entrances=_BOTH,
        details='false waits for transitions of the lifecycle.',
    )


OUTPUT = OutputOptions()
"""The defaults, for signatures that need one."""
