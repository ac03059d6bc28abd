"""Options of the network: which one, where it computes, how images enter it, what it predicts."""

from __future__ import annotations

from dataclasses import dataclass
import math

from da3_ros.options.choices import (
    ATTENTIONS,
    CONDITIONINGS,
    PRECISIONS,
    REFERENCE_STRATEGIES,
    RESIZE_METHODS,
    ROUNDINGS,
    RUNTIMES,
    AttentionKind,
    Conditioning,
    Precision,
    ReferenceStrategy,
    ResizeMethod,
    Rounding,
    Runtime,
)
from da3_ros.options.table import Entrance, Variant, option

_NODE, _SCENES, _MODEL = Entrance.NODE, Entrance.SCENES, Entrance.MODEL
_ENGINES, _BAG, _STREAM = Entrance.ENGINES, Entrance.BAG, Entrance.STREAM
_PREDICTING = (_NODE, _BAG, _SCENES, _STREAM, Entrance.INFERENCE)
_OF_SCENES = Variant(
    summary='Network: folder, hub repository, or name; `da3 models` lists the names. '
    'Default: DA3_MODEL, else da3-small or da3-base if cached, else da3-small from '
    'the hub.'
)


@dataclass(frozen=True, slots=True)
class EstimatorOptions:
    """What the network is and how images enter it."""

    model: str = option(
        '',
        'Network: a preset such as da3-small, a hub repository, or a folder with config.json and '
        'model.safetensors; empty for the default.',
        entrances=(_NODE, Entrance.LAUNCH, _SCENES, _BAG, _STREAM, Entrance.DEMO),
        details='The default is what DA3_MODEL names in the environment, else da3-small if its '
        'weights are in the cache, else da3-base if its are, else da3-small from the hub. '
        'Presets: da3-small, da3-base, da3-large, da3-giant, da3nested-giant-large; '
        'da3mono-large and da3metric-large for one camera with CameraInfo and window 1; da3-nano '
        'comes with this package, for demos and tests. "random:PRESET" for seeded random weights '
        '(output means nothing), "truth" for exact geometry of the synthetic room.',
        variants={
            _SCENES: _OF_SCENES,
            _STREAM: _OF_SCENES,
            _BAG: Variant(
                summary='Network: preset, hub repository or folder; truth: exact geometry of the '
                'synthetic room. Default: as of `da3 auto`.'
            ),
            Entrance.DEMO: Variant(
                None,
                'Preset, hub repository, folder, or truth (no network). Default: as of '
                '`da3 auto`; where that cannot be had da3-nano, which comes with this package.',
            ),
        },
        aliases=('model_dir',),
        # The key holds the checkpoint itself.
        changes_files=False,
    )
    revision: str = option(
        '',
        'Revision of the hub repository; empty for its default branch.',
        entrances=(_NODE, _BAG, _MODEL),
        variants={_MODEL: Variant(None)},
    )
    device: str = option(
        'auto',
        'Torch device: auto, cpu, cuda or cuda:N.',
        entrances=(_NODE, _SCENES, _BAG, _STREAM),
        variants={_SCENES: Variant(summary='Torch device: auto, cpu, cuda, cuda:N or mps.')},
        changes_files=False,
    )
    runtime: Runtime = option(
        'auto',
        'What computes the network.',
        entrances=(_NODE, Entrance.LAUNCH, _SCENES, _BAG, _STREAM, _ENGINES, _MODEL),
        details='auto is openvino on a CPU where its package is installed '
        "(pip install '.[openvino]'), else torch. The first use of a network at a size builds an "
        'engine, which is kept. What a runtime cannot do torch does, with a note '
        '(docs/runtimes.md).',
        choices=RUNTIMES,
        variants={
            _ENGINES: Variant(summary='What shall compute the network; auto: what is installed.')
        },
        # Like the device: the same mathematics, computed elsewhere.
        changes_files=False,
    )
    precision: Precision = option(
        'auto',
        'Arithmetic of the backbone.',
        entrances=(_NODE, _SCENES, _BAG, _STREAM, _ENGINES, _MODEL),
        details='auto is 16 bit on a GPU that has it and fp32 on a CPU; fp16 needs a GPU. In '
        'runtimes other than torch bf16 leaves in fp32 what would lose accuracy.',
        choices=PRECISIONS,
        variants={
            _ENGINES: Variant(
                summary='Arithmetic; auto is fp32, bf16 is for compile, fp16 for export-onnx.'
            )
        },
    )
    attention: AttentionKind = option(
        'auto',
        'Attention kernels.',
        entrances=(_NODE, _BAG, _MODEL),
        details='auto is those of torch (sdpa), on x86-64 CPUs tiles of oneDNN where these are '
        'faster; xformers needs its package.',
        choices=ATTENTIONS,
    )
    threads: int = option(
        0,
        'Threads of the network on a CPU; 0: one per core.',
        entrances=(_NODE, _SCENES, _BAG, _STREAM),
        details='Where OMP_NUM_THREADS is set, 0 takes that; else one per core that this process '
        'may use, less one for images and messages.',
        minimum=0,
        maximum=1024,
        changes_files=False,
    )
    process_res: int = option(
        0,
        "Image side that the resize method bounds, 0 for the model's own.",
        entrances=(*_PREDICTING, _ENGINES, Entrance.DEMO),
        details='Else at least 14. The models were trained for 504, da3-nano for 98.',
        unit='px',
        minimum=0,
        maximum=4096,
        variants={
            # Where no robot waits for it a picture may be as large as the memory allows.
            _SCENES: Variant(maximum=math.inf),
            Entrance.INFERENCE: Variant(None, maximum=math.inf),
            _ENGINES: Variant(summary="Longest side of --aspect, 0 for the model's own."),
            Entrance.DEMO: Variant(
                summary="Longest side in the network, 0 for the model's own, on a CPU at most 224."
            ),
        },
    )
    process_res_method: ResizeMethod = option(
        'upper_bound_resize',
        'How images are brought to a multiple of 14 pixels.',
        entrances=(*_PREDICTING, Entrance.EXPORT),
        choices=RESIZE_METHODS,
        variants={
            Entrance.EXPORT: Variant(summary='How --images were brought to the size of depth.')
        },
    )
    ref_view_strategy: ReferenceStrategy = option(
        'saddle_balanced',
        'Choice of the reference view for windows of three or more views.',
        entrances=_PREDICTING,
        choices=REFERENCE_STRATEGIES,
        variants={_SCENES: Variant(summary='Choice of the reference view.')},
    )
    use_ray_pose: bool = option(
        False,
        'Take poses from the ray map instead of the camera decoder (slower).',
        entrances=_PREDICTING,
    )
    conditioning: Conditioning = option(
        'auto',
        'Whether poses that are known beforehand go into the network.',
        entrances=(_NODE, _BAG, _STREAM),
        details='auto: whenever those of all views of a window are known by odometry '
        '(prior_frame), or by the rig for windows of one set; other windows go without, and the '
        'window report says why.',
        choices=CONDITIONINGS,
    )


@dataclass(frozen=True, slots=True)
class PredictionOptions:
    """What is predicted of one scene, and at which price."""

    infer_gs: bool = option(
        False,
        'Predict Gaussians; gs_ply and gs_video ask for them anyway.',
        entrances=(_SCENES, Entrance.INFERENCE),
    )
    conf_thr: float | None = option(
        None,
        'Least confidence of points; pixels with less have none (NaN) in the prediction.',
        entrances=(Entrance.INFERENCE,),
        kind=float,
    )
    allow_smaller: bool = option(
        False,
        'Smaller images when memory runs out, instead of an error.',
        entrances=(_SCENES, Entrance.INFERENCE),
        changes_files=False,
    )


@dataclass(frozen=True, slots=True)
class ArithmeticOptions:
    """What only the Python API offers of the arithmetic."""

    rounding: Rounding = option(
        'exact',
        'exact, or reference for what the official code rounds on CUDA.',
        entrances=(_MODEL,),
        choices=ROUNDINGS,
    )
    tf32: bool = option(False, 'Allow TF32 in float32 products on CUDA.', entrances=(_MODEL,))


NETWORK = EstimatorOptions()
"""The defaults, for signatures that need one."""
PREDICTION = PredictionOptions()
ARITHMETIC = ArithmeticOptions()
