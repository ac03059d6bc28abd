"""Options, declared once: default, bounds, unit, help, dynamic or read-only.

ROS parameters, command-line flags, `config/da3.yaml` and `docs/parameters.md` derive from the
dataclasses here; a test compares. An options object is frozen: a change makes another one, which
is checked whole before anything uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from da3_ros.errors import ConfigError

OptionValue = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """Declaration of one option."""

    name: str
    default: OptionValue
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False
    """Whether it may change while the node runs."""


def _option(
    default: OptionValue,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    dynamic: bool = False,
) -> Any:
    metadata = {
        'help': text,
        'minimum': minimum,
        'maximum': maximum,
        'choices': choices,
        'dynamic': dynamic,
    }
    return field(default=default, metadata=metadata)


RESIZE_METHODS = (
    'upper_bound_resize',
    'upper_bound_crop',
    'lower_bound_resize',
    'lower_bound_crop',
)
# Side of the network's patches: no image can be smaller.
_PATCH_PX = 14
PRECISIONS = ('auto', 'fp32', 'bf16', 'fp16')
ATTENTIONS = ('auto', 'sdpa', 'xformers')
CONDITIONINGS = ('auto', 'off')
SCALE_SOURCES = ('auto', 'odometry', 'rig', 'metric_model', 'camera_info', 'none')
REFERENCE_STRATEGIES = ('saddle_balanced', 'saddle_sim_range', 'first', 'middle')


@dataclass(frozen=True, slots=True)
class EstimatorOptions:
    """What the network is and how images enter it."""

    model: str = _option(
        'da3-small',
        'Network: a preset (da3-small, da3-base, da3-large, da3-giant, da3nested-giant-large; '
        'da3mono-large and da3metric-large for one camera with CameraInfo and window 1; da3-nano '
        'comes with this package, for demos and tests), a hub repository, or a folder '
        'with config.json and model.safetensors; "random:PRESET" for '
        'seeded random weights (output means nothing), "truth" for exact geometry of the '
        'synthetic room.',
    )
    revision: str = _option('', 'Revision of the hub repository; empty for its default branch.')
    device: str = _option('auto', 'Torch device: auto, cpu, cuda or cuda:N.')
    precision: str = _option(
        'auto',
        'Arithmetic of the backbone: auto is 16 bit on a GPU that has it and fp32 on a CPU; '
        'fp16 needs a GPU.',
        choices=PRECISIONS,
    )
    attention: str = _option(
        'auto',
        'Attention kernels: auto is those of torch (sdpa); xformers needs its package.',
        choices=ATTENTIONS,
    )
    threads: int = _option(
        0,
        'Threads that the network computes with on a CPU. 0 is auto: OMP_NUM_THREADS where it is '
        'set, else one per core that this process may use, less one for images and messages.',
        minimum=0,
        maximum=1024,
    )
    process_res: int = _option(
        0,
        'Bound of the image side that the resize method names, px, at least 14; 0 for what the '
        'model was trained for: 504 for all published ones, 98 for da3-nano.',
        minimum=0,
        maximum=4096,
    )
    process_res_method: str = _option(
        'upper_bound_resize',
        'How images are brought to a multiple of 14 pixels.',
        choices=RESIZE_METHODS,
    )
    ref_view_strategy: str = _option(
        'saddle_balanced',
        'Choice of the reference view for windows of three or more views.',
        choices=REFERENCE_STRATEGIES,
    )
    use_ray_pose: bool = _option(
        False, 'Take poses from the ray map instead of the camera decoder (slower).'
    )
    conditioning: str = _option(
        'auto',
        'Whether poses that are known beforehand go into the network: auto, whenever those of all '
        'views of a window are known by odometry (prior_frame), or by the rig for windows of one '
        'set; other windows go without, and the window report says why.',
        choices=CONDITIONINGS,
    )


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How images become sets, sets become windows and windows become one world."""

    cameras: tuple[str, ...] = _option(
        ('camera',), 'Names of the cameras; each is a topic prefix and a key of the rig.'
    )
    sync_tolerance_s: float = _option(
        0.02, 'Largest difference of stamps within one set, s.', minimum=0.0, maximum=10.0
    )
    min_cameras: int = _option(
        0,
        'Smallest number of cameras that makes a set when the others are late; 0 for all.',
        minimum=0,
        maximum=64,
    )
    sync_wait_s: float = _option(
        0.1,
        'How much newer than a pending set any image may be before the set goes out without its '
        'late cameras, s (time of stamps).',
        minimum=0.0,
        maximum=60.0,
    )
    window: int = _option(3, 'Frame sets that one forward pass sees.', minimum=1, maximum=256)
    stride: int = _option(
        1,
        'New sets per window; window minus stride sets are shared with the window before.',
        minimum=1,
        maximum=256,
    )
    scale_source: str = _option(
        'auto',
        'What tells the metre: odometry (ways in prior_frame), rig (distances between cameras of '
        'one instant), metric_model (da3nested-giant-large), camera_info (da3metric-large with '
        'its focal length). auto takes the first that there is, in this order; a name takes that '
        'one or else those after it; none keeps the unit of the first window and ignores the rig.',
        choices=SCALE_SOURCES,
    )
    scene_sets: int = _option(
        100,
        'Newest sets kept for export and for the path. 0 for none; windows are then estimated '
        'only while a topic has a subscriber or TF is published.',
        minimum=0,
        maximum=100000,
    )


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What the node publishes and how."""

    image_transport: str = _option(
        'raw', 'Image topics to subscribe to.', choices=('raw', 'compressed')
    )
    rectify: bool = _option(
        False,
        'Undo the lens distortion that camera_info tells of (plumb_bob, rational_polynomial, '
        'equidistant); what is published then belongs to the rectified image.',
    )
    image_reliability: str = _option(
        'best_effort',
        'QoS of the image subscriptions; best_effort receives from both kinds of publisher.',
        choices=('best_effort', 'reliable'),
    )
    queue_depth: int = _option(10, 'Depth of the queues of all topics.', minimum=1, maximum=1000)
    odom_frame: str = _option(
        'odom',
        'World frame of poses and merged points. Where it is prior_frame, the robot stands in it '
        'as that odometry says; else it starts where the robot is first.',
    )
    base_frame: str = _option('base_link', 'Body frame that the rig is calibrated to.')
    map_frame: str = _option('map', 'Frame above odom_frame, used by publish_map_tf.')
    publish_tf: bool = _option(
        True, 'Publish odom to base (rig known) or odom to every optical frame (rig unknown).'
    )
    publish_map_tf: bool = _option(False, 'Publish an identity map to odom.')
    use_tf_static: bool = _option(
        True, 'Read the rig (base_frame to optical frames) from /tf_static where not given.'
    )
    prior_frame: str = _option(
        '',
        'Fixed frame of an odometry on /tf (wheels, legs, a tracker), which gives the scale and '
        'poses for conditioning; empty for none. Must not be a frame that this node publishes '
        'itself: with odom set publish_tf to false, or name another odom_frame.',
    )
    tf_wait_s: float = _option(
        0.1,
        'Longest wait for a transform of /tf that is newer than an image, s; the images then go '
        'on without.',
        minimum=0.0,
        maximum=5.0,
    )
    depth_encoding: str = _option(
        '32FC1',
        'Depth image in metres as float, or in millimetres as uint16 (0 unknown).',
        choices=('32FC1', '16UC1'),
    )
    depth_size: str = _option(
        'network',
        "Size of depth, confidence, sky, colour and points of a camera: the network's, or that of "
        'the input image (after crop_px), where nothing is mixed across edges of depth.',
        choices=('network', 'input'),
        dynamic=True,
    )
    min_depth_m: float = _option(
        0.0,
        'Depth nearer than this is unknown, m.',
        minimum=0.0,
        maximum=1e6,
        dynamic=True,
    )
    max_depth_m: float = _option(
        100.0,
        'Depth beyond this is +Inf and no point, m.',
        minimum=0.01,
        maximum=1e6,
        dynamic=True,
    )
    min_confidence: float = _option(
        1.0,
        "Depth whose confidence (DA3's raw, >= 1) is below is unknown.",
        minimum=1.0,
        maximum=1e6,
        dynamic=True,
    )
    edge_filter: float = _option(
        0.1,
        'Points in the air between a near and a far surface are left out: smallest change of '
        'depth from pixel to pixel that is an edge, as a share of the nearer one; 0 keeps them. '
        'Depth images are not filtered.',
        minimum=0.0,
        maximum=10.0,
        dynamic=True,
    )
    voxel_size_m: float = _option(
        0.05,
        'Edge of the voxels that thin the merged points, m; 0 keeps every point.',
        minimum=0.0,
        maximum=100.0,
        dynamic=True,
    )
    export_dir: str = _option(
        '~/.ros/da3_exports', 'Folder that every export stays in; ~ is the home folder.'
    )
    viewer: bool = _option(
        False,
        'Serve a page with clouds, cameras, trajectory and a map for browsers (needs the Python '
        'package viser). It costs nothing while no browser looks.',
    )
    viewer_host: str = _option(
        '127.0.0.1',
        'Address that the page is served on: 127.0.0.1 for this machine only, 0.0.0.0 for '
        'everyone in the network, who then sees what the cameras see.',
    )
    viewer_port: int = _option(
        8080,
        'Port of the page; 0 for any free one, which the log tells.',
        minimum=0,
        maximum=65535,
    )
    autostart: bool = _option(
        True,
        'Configure and activate by itself at the start; false waits for transitions of the '
        'lifecycle.',
    )


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """All options of the node, by group."""

    estimator: EstimatorOptions = field(default_factory=EstimatorOptions)
    stream: StreamOptions = field(default_factory=StreamOptions)
    output: OutputOptions = field(default_factory=OutputOptions)

    def __post_init__(self) -> None:
        """Check every option and what they mean together.

        Raises:
            ConfigError: an option is outside its bounds; names it, the bounds and the value.
        """
        values = to_flat(self)
        for spec in option_specs():
            check_value(spec, values[spec.name])
        cameras = self.stream.cameras
        if not cameras or len(set(cameras)) != len(cameras) or not all(cameras):
            raise ConfigError(f'cameras: expected distinct names, at least one, got {cameras}')
        if self.stream.min_cameras > len(cameras):
            raise ConfigError(
                f'min_cameras: {self.stream.min_cameras} is more than the {len(cameras)} cameras'
            )
        if self.stream.stride > self.stream.window:
            raise ConfigError(
                f'stride: {self.stream.stride} is more than window = {self.stream.window}, '
                'so that sets would be skipped'
            )
        self._check_prior_frame()
        if 0 < self.estimator.process_res < _PATCH_PX:
            raise ConfigError(
                f'process_res: expected 0 or at least {_PATCH_PX}, '
                f'got {self.estimator.process_res}'
            )
        if self.output.min_depth_m >= self.output.max_depth_m:
            raise ConfigError(
                f'min_depth_m: {self.output.min_depth_m:g} is not less than max_depth_m = '
                f'{self.output.max_depth_m:g}, so that no depth would be left'
            )

    def _check_prior_frame(self) -> None:
        """Refuse to take this node's own poses for an odometry."""
        o = self.output
        prior = o.prior_frame.lstrip('/')
        for switch, is_on, frame in (
            ('publish_tf', o.publish_tf, o.odom_frame),
            ('publish_map_tf', o.publish_map_tf and o.publish_tf, o.map_frame),
        ):
            if prior and is_on and prior == frame.lstrip('/'):
                raise ConfigError(
                    f'prior_frame: this node itself publishes transforms from {prior!r} '
                    f'({switch}), so that it would follow its own output; set {switch} to false '
                    'if another node publishes them, or give this node another odom_frame'
                )
        if prior and prior == o.base_frame.lstrip('/'):
            raise ConfigError(
                f'prior_frame: {prior!r} is base_frame, which moves with the robot; expected the '
                'fixed frame of the odometry, for example odom'
            )


_GROUPS: tuple[tuple[str, type], ...] = (
    ('estimator', EstimatorOptions),
    ('stream', StreamOptions),
    ('output', OutputOptions),
)


def option_specs() -> tuple[OptionSpec, ...]:
    """Return the declaration of every option, in the order of the groups."""
    return tuple(
        OptionSpec(name=f.name, default=cast(OptionValue, f.default), **f.metadata)
        for _, group in _GROUPS
        for f in fields(group)
    )


def to_flat(options: NodeOptions) -> dict[str, OptionValue]:
    """Return name to value of every option."""
    return {
        f.name: getattr(getattr(options, name), f.name)
        for name, group in _GROUPS
        for f in fields(group)
    }


def from_flat(values: Mapping[str, OptionValue]) -> NodeOptions:
    """Return options with the given values, defaults elsewhere.

    Raises:
        ConfigError: a name is unknown, a value has the wrong type or is out of bounds.
    """
    known = {spec.name: spec for spec in option_specs()}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f'unknown options: {", ".join(unknown)}; known: {", ".join(known)}')
    for name, value in values.items():
        check_value(known[name], value)
    groups = {
        name: group(**{f.name: values[f.name] for f in fields(group) if f.name in values})
        for name, group in _GROUPS
    }
    return NodeOptions(**groups)


def check_value(spec: OptionSpec, value: OptionValue) -> None:
    """Check one value against its declaration.

    Raises:
        ConfigError: wrong type, out of bounds or not one of the choices.
    """
    wanted = type(spec.default)
    fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        fits = True
    if not fits:
        raise ConfigError(f'{spec.name}: expected {wanted.__name__}, got {value!r}')
    if spec.choices and value not in spec.choices:
        raise ConfigError(f'{spec.name}: expected one of {", ".join(spec.choices)}, got {value!r}')
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = spec.minimum if spec.minimum is not None else float('-inf')
        high = spec.maximum if spec.maximum is not None else float('inf')
        if not low <= value <= high:
            raise ConfigError(f'{spec.name}: expected {low:g} to {high:g}, got {value}')
