"""Options of the network: which one, where it computes, and how images enter it."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.options.table import option

RESIZE_METHODS = (
    'upper_bound_resize',
    'upper_bound_crop',
    'lower_bound_resize',
    'lower_bound_crop',
)
PRECISIONS = ('auto', 'fp32', 'bf16', 'fp16')
ATTENTIONS = ('auto', 'sdpa', 'xformers')
CONDITIONINGS = ('auto', 'off')
REFERENCE_STRATEGIES = ('saddle_balanced', 'saddle_sim_range', 'first', 'middle')


@dataclass(frozen=True, slots=True)
class EstimatorOptions:
    """What the network is and how images enter it."""

    model: str = option(
        'da3-small',
        'Network: a preset (da3-small, da3-base, da3-large, da3-giant, da3nested-giant-large; '
        'da3mono-large and da3metric-large for one camera with CameraInfo and window 1; da3-nano '
        'comes with this package, for demos and tests), a hub repository, or a folder '
        'with config.json and model.safetensors; "random:PRESET" for '
        'seeded random weights (output means nothing), "truth" for exact geometry of the '
        'synthetic room.',
    )
    revision: str = option('', 'Revision of the hub repository; empty for its default branch.')
    device: str = option('auto', 'Torch device: auto, cpu, cuda or cuda:N.')
    precision: str = option(
        'auto',
        'Arithmetic of the backbone: auto is 16 bit on a GPU that has it and fp32 on a CPU; '
        'fp16 needs a GPU.',
        choices=PRECISIONS,
    )
    attention: str = option(
        'auto',
        'Attention kernels: auto is those of torch (sdpa); xformers needs its package.',
        choices=ATTENTIONS,
    )
    threads: int = option(
        0,
        'Threads that the network computes with on a CPU. 0 is auto: OMP_NUM_THREADS where it is '
        'set, else one per core that this process may use, less one for images and messages.',
        minimum=0,
        maximum=1024,
    )
    process_res: int = option(
        0,
        'Bound of the image side that the resize method names, px, at least 14; 0 for what the '
        'model was trained for: 504 for all published ones, 98 for da3-nano.',
        minimum=0,
        maximum=4096,
    )
    process_res_method: str = option(
        'upper_bound_resize',
        'How images are brought to a multiple of 14 pixels.',
        choices=RESIZE_METHODS,
    )
    ref_view_strategy: str = option(
        'saddle_balanced',
        'Choice of the reference view for windows of three or more views.',
        choices=REFERENCE_STRATEGIES,
    )
    use_ray_pose: bool = option(
        False, 'Take poses from the ray map instead of the camera decoder (slower).'
    )
    conditioning: str = option(
        'auto',
        'Whether poses that are known beforehand go into the network: auto, whenever those of all '
        'views of a window are known by odometry (prior_frame), or by the rig for windows of one '
        'set; other windows go without, and the window report says why.',
        choices=CONDITIONINGS,
    )
