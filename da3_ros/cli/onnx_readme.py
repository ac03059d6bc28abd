"""What stands beside exported graphs: what goes in and out of each, and what lies between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from da3_ros.errors import Da3Error

if TYPE_CHECKING:
    from da3_ros.inference.runtimes.engine_files import Engine

README_NAME = 'README.txt'

_ANY_VIEW = """\
A window is a set of views that see one another. V counts its views, N those whose depth is wanted.

1. encode: every image alone, any number at once. Images are RGB as they are, 0..255; the colours
   are normalised inside. What comes of an image may be kept while it stays in windows.
2. Between the graphs, in float32, the camera tokens (V, C) are chosen. camera_tokens.npy (2, C)
   has that of the reference view (row 0) and that of every other view (row 1). The reference is
   view 0 of up to two views; of three or more the one in the middle by three measures of the
   reference_tokens: mean cosine similarity to the others, length, and variance over the channels
   of the token of length one (divisor C - 1). Each measure is brought to 0..1 over the views
   (minus the least, divided by the range + 1e-8); the reference has the least sum of distances
   from 0.5. In da3_ros: model/plain/reference_view.py, NumPy only.
   Where all cameras are known, the camera tokens are those of the graph cameras instead.
3. fuse: tokens of all views in the order of the window, camera_tokens, and wanted, the numbers of
   the N views, ascending.
4. decode: the four levels to depth (N, H, W), z along the optical axis in the unit of the scene,
   and confidence, 1 or more. Views are independent here: a long window may go in parts.
5. poses: camera_features to encodings (V, 9) of world_from_camera: position (3), quaternion xyzw
   (4), field of view vertical and horizontal in radians (2). Principal points are in the middle
   of the image. In da3_ros: model/plain/pose_encoding.py, NumPy only; its encode_cameras makes
   what goes into cameras, of poses in which the first camera is the origin and the median
   distance of all from it is 1 (inference/pose_alignment.py, normalise_extrinsics).
"""

_SINGLE_VIEW = """\
maps: every image alone, any number at once. Images are RGB as they are, 0..255; the colours are
normalised inside. Where sky is 0.3 or more depth means nothing; in da3_ros it becomes the 99 %
quantile of the other depths of the window (model/plain/sky.py, NumPy only).
"""

_TENSORRT = """\
TensorRT (not run by those who made this; docs/runtimes.md says more):
"""


def readme(engine: Engine) -> str:
    """Return the text for an engine.

    Raises:
        OSError: a graph cannot be read.
    """
    is_any_view = engine.config.any_view is not None
    parts = [
        f'{engine.config.name}, exported by da3_ros {engine.package}\n'
        f'Matrices in {engine.precision}; weights in weights.bin, for all graphs; '
        f'sha256 of the checkpoint {engine.weights_sha256}.\n',
        'Random weights: the output means nothing.\n' if engine.is_random else '',
        _ANY_VIEW if is_any_view else _SINGLE_VIEW,
    ]
    commands = [_TENSORRT]
    for name in sorted(name for name in engine.files if name.endswith('.onnx')):
        inputs, outputs = _ends(engine.folder / name)
        rows = [f'  in   {text}' for text in inputs] + [f'  out  {text}' for text in outputs]
        parts.append('\n'.join([name, *rows, '']))
        commands.append(trtexec(name, inputs, is_fp16=engine.precision == 'fp16'))
    return '\n'.join([*filter(None, parts), *commands])


def trtexec(name: str, inputs: list[str], *, is_fp16: bool) -> str:
    """Return the call of trtexec for a graph, for 1 to 8 views.

    Args:
        name: of its file.
        inputs: as `_ends` gives them.
        is_fp16: whether the graph has casts of its own: then types are taken as they stand.
    """
    shapes = []
    for count in (1, 4, 8):
        sizes = []
        for text in inputs:
            tensor, _, dimensions = text.partition(' ')
            sides = dimensions[dimensions.index('(') + 1 : dimensions.index(')')].split(', ')
            sides = [side if side.isdigit() else str(count) for side in sides]
            sizes.append(f'{tensor}:{"x".join(sides)}')
        shapes.append(','.join(sizes))
    least, usual, most = shapes
    flags = ' --stronglyTyped' if is_fp16 else ''
    plan = Path(name).with_suffix('.plan')
    return (
        f'trtexec --onnx={name} --saveEngine={plan}{flags} '
        f'--minShapes={least} --optShapes={usual} --maxShapes={most}\n'
    )


def keep_readme(folder: Path) -> bool:
    """Return whether the text in a folder is ours to write: not there, or as we wrote it."""
    from da3_ros.inference.runtimes.engine_files import is_engine, read_engine

    path = folder / README_NAME
    if not path.exists() or not is_engine(folder):
        return True
    try:
        return path.read_text(encoding='utf-8') == readme(read_engine(folder))
    except (OSError, ValueError, Da3Error):
        return False


def write_readme(engine: Engine) -> None:
    """Write the text beside the graphs."""
    (engine.folder / README_NAME).write_text(readme(engine), encoding='utf-8')


def _ends(path: Path) -> tuple[list[str], list[str]]:
    """Return inputs and outputs of a graph as text: name, type, shape."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return [_described(value) for value in graph.input], [_described(v) for v in graph.output]


def _described(value: Any) -> str:
    import onnx

    tensor = value.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    sides = [side.dim_param or str(side.dim_value) for side in tensor.shape.dim]
    return f'{value.name} {kind} ({", ".join(sides)})'
