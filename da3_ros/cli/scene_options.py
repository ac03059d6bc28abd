"""The options that `da3 auto`, `image`, `images`, `video` and `colmap` share, declared once.

A command takes them all with `takes_scene_options`, as one frozen object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import Enum
import functools
import inspect
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

DEFAULT_MODEL = 'depth-anything/DA3NESTED-GIANT-LARGE-1.1'
DEFAULT_EXPORT_DIR = Path('workspace/gallery/scene')

_MODEL = 'Model'
_IMAGES = 'Images'
_RESULT = 'Result'


class ResizeMethod(str, Enum):
    """How images are brought to the size of the network."""

    upper_bound_resize = 'upper_bound_resize'
    upper_bound_crop = 'upper_bound_crop'
    lower_bound_resize = 'lower_bound_resize'
    lower_bound_crop = 'lower_bound_crop'


class ReferenceView(str, Enum):
    """How the view is chosen that the others are related to."""

    saddle_balanced = 'saddle_balanced'
    saddle_sim_range = 'saddle_sim_range'
    first = 'first'
    middle = 'middle'


class PrecisionChoice(str, Enum):
    """Number format of the backbone."""

    auto = 'auto'
    fp32 = 'fp32'
    bf16 = 'bf16'
    fp16 = 'fp16'


def complete_model(incomplete: str) -> list[str]:
    """Return the short names of checkpoints that begin so."""
    from da3_ros.model.presets import NETWORKS

    return [name for name in NETWORKS if name.startswith(incomplete)]


def complete_format(incomplete: str) -> list[str]:
    """Return joined formats that begin so, one more than are there already."""
    from da3_ros.export.registry import FORMATS

    *before, last = incomplete.split('-')
    return [
        '-'.join([*before, name])
        for name in FORMATS
        if name.startswith(last) and name not in before
    ]


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """Everything the five commands have in common."""

    model_dir: Annotated[
        str,
        typer.Option(help='Checkpoint: folder, hub repository or name.', rich_help_panel=_MODEL),
    ] = DEFAULT_MODEL
    model: Annotated[
        str | None,
        typer.Option(
            help='The same by a short name such as da3-small; `da3 models` lists them.',
            autocompletion=complete_model,
            rich_help_panel=_MODEL,
        ),
    ] = None
    device: Annotated[
        str, typer.Option(help='cpu, cuda, cuda:1, mps or auto.', rich_help_panel=_MODEL)
    ] = 'auto'
    threads: Annotated[
        int,
        typer.Option(
            min=0, max=1024, help='Threads on a CPU; 0: one per core.', rich_help_panel=_MODEL
        ),
    ] = 0
    precision: Annotated[
        PrecisionChoice, typer.Option(help="The backbone's numbers.", rich_help_panel=_MODEL)
    ] = PrecisionChoice.auto
    process_res: Annotated[
        int,
        typer.Option(
            min=0,
            help="Bounded side of images, px; 0: the model's own, 504 for published ones.",
            rich_help_panel=_IMAGES,
        ),
    ] = 0
    process_res_method: Annotated[
        ResizeMethod, typer.Option(help='Which side, and how.', rich_help_panel=_IMAGES)
    ] = ResizeMethod.upper_bound_resize
    use_ray_pose: Annotated[
        bool, typer.Option(help='Cameras from rays, not decoder.', rich_help_panel=_MODEL)
    ] = False
    ref_view_strategy: Annotated[
        ReferenceView, typer.Option(help='Choice of the reference view.', rich_help_panel=_MODEL)
    ] = ReferenceView.saddle_balanced
    infer_gs: Annotated[
        bool,
        typer.Option(help='Predict Gaussians; gs_* formats do so anyway.', rich_help_panel=_MODEL),
    ] = False
    allow_smaller: Annotated[
        bool,
        typer.Option(help='Smaller images when memory runs out.', rich_help_panel=_MODEL),
    ] = False
    export_dir: Annotated[
        Path, typer.Option(help='Folder of the results.', rich_help_panel=_RESULT)
    ] = DEFAULT_EXPORT_DIR
    export_format: Annotated[
        str,
        typer.Option(
            help='Formats joined by "-", e.g. mini_npz-glb.',
            autocompletion=complete_format,
            rich_help_panel=_RESULT,
        ),
    ] = 'glb'
    overwrite: Annotated[
        bool, typer.Option('--overwrite', help='Replace earlier results.', rich_help_panel=_RESULT)
    ] = False
    auto_cleanup: Annotated[
        bool, typer.Option(help='Empty the folder of the results first.', rich_help_panel=_RESULT)
    ] = False
    export_feat: Annotated[
        str,
        typer.Option(help='Blocks for feat_vis, e.g. 5,11.', rich_help_panel=_RESULT),
    ] = ''
    conf_thresh_percentile: Annotated[
        float,
        typer.Option(
            min=0, max=100, help='Confidence that points need, %.', rich_help_panel=_RESULT
        ),
    ] = 40.0
    num_max_points: Annotated[
        int, typer.Option(min=1, help='Most points of a file.', rich_help_panel=_RESULT)
    ] = 1_000_000
    show_cameras: Annotated[
        bool, typer.Option(help='Draw cameras in glb.', rich_help_panel=_RESULT)
    ] = True
    feat_vis_fps: Annotated[
        int, typer.Option(min=1, help='Images per second of feat_vis.', rich_help_panel=_RESULT)
    ] = 15
    save_depth: Annotated[
        bool,
        typer.Option('--save-depth', help='Also mini_npz: numbers.', rich_help_panel=_RESULT),
    ] = False
    save_conf: Annotated[
        bool,
        typer.Option(
            '--save-conf', help='Also conf/NNNN.npy: raw confidence.', rich_help_panel=_RESULT
        ),
    ] = False
    as_json: Annotated[
        bool,
        typer.Option('--json', help='One JSON object on stdout.', rich_help_panel=_RESULT),
    ] = False

    @property
    def checkpoint(self) -> str:
        """What to load.

        Raises:
            BadParameter: two checkpoints are named.
        """
        if self.model is None:
            return self.model_dir
        if self.model_dir not in (DEFAULT_MODEL, self.model):
            raise typer.BadParameter('expected --model or --model-dir, got both')
        return self.model

    @property
    def feature_layers(self) -> tuple[int, ...]:
        """Blocks of `--export-feat`.

        Raises:
            BadParameter: it is no list of block numbers.
        """
        parts = [part.strip() for part in self.export_feat.split(',') if part.strip()]
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise typer.BadParameter(
                f'--export-feat: expected numbers like 5,11, got {self.export_feat!r}'
            )
        return tuple(dict.fromkeys(int(part) for part in parts))


def takes_scene_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `SceneOptions`, as its parameter `options`.

    The command's other parameters come first, then the shared ones in the order above.
    """
    own = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    shared = get_type_hints(SceneOptions, include_extras=True)
    names = [field.name for field in fields(SceneOptions)]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, parameter in own.parameters.items()
        if name != 'options'
    ]
    for field in fields(SceneOptions):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=shared[field.name],
            )
        )

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        options = SceneOptions(**{name: values.pop(name) for name in names})
        command(**values, options=options)

    signature = inspect.Signature(parameters)
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    # Else typer would look behind the wrapper for the types.
    del with_options.__wrapped__
    return with_options
