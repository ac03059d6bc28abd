"""Write what is derived from the option table: config/da3.yaml and tables in docs/.

Usage: python tools/parameter_docs.py [--check]
With --check nothing is written; the exit status is 1 when a file is out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
import re
import sys
import textwrap

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from da3_ros.options import (  # noqa: E402 - after the path of the source tree
    Entrance,
    EstimatorOptions,
    NodeOptions,
    OptionSpec,
    PredictionOptions,
    StreamOptions,
    specs_of,
)
from da3_ros.options.camera import (  # noqa: E402
    BASE_FROM_CAMERA,
    CROP_PX,
    ROTATION_DEG,
    CameraParameter,
)
from da3_ros.options.export import (  # noqa: E402
    ContentOptions,
    FlightOptions,
    GlbOptions,
    GsPlyOptions,
    ResultOptions,
)
from da3_ros.options.outputs import OutputChoice  # noqa: E402
from da3_ros.options.scenes import InputOptions, RunOptions  # noqa: E402
from da3_ros.options.streaming import StreamFileOptions, StreamInputOptions  # noqa: E402

_TITLES = {
    'estimator': 'The network',
    'stream': 'From images to one world',
    'output': 'Topics, frames and limits',
}
_YAML_HEAD = """\
# Parameters of da3_node with their defaults; written by tools/parameter_docs.py.
# Use:  ros2 run da3_ros da3_node --ros-args --params-file da3.yaml
# Those marked [dynamic] may change while the node runs (ros2 param set).
/**:
  ros__parameters:
"""
_YAML_TAIL = """
    # Where the cameras sit on the robot: x y z (m) qx qy qz qw of the optical frame in base_frame,
    # for every camera that /tf_static does not tell about.
    # rig:
    #   camera:
    #     base_from_camera: [0.1, 0.0, 0.3, -0.5, 0.5, -0.5, 0.5]

    # Single cameras: the clockwise rotation that makes the image upright for the network (0, 90,
    # 180, 270 degrees), and the part of the image that is used: left, top, width, height, pixels.
    # input:
    #   camera:
    #     rotation_deg: 180
    #     crop_px: [0, 40, 640, 400]
"""
_DOCS_HEAD = """\
# Parameters of da3_node

Written by `tools/parameter_docs.py` from the option table, `da3_ros/options/`; edit there.
Dynamic parameters may change while the node runs (`ros2 param set`); a change is checked as a
whole and then taken, or rejected with the reason. All others are read when the node is configured:
set them at the start, or (but for `autostart`) while it is unconfigured, that is after
`ros2 lifecycle set /da3_node cleanup`. A wrong value fails the transition, with the reason in the
log and on `/diagnostics`; correct the parameter and configure again.
"""
_RIG_TEXT = """\
With the rig of at least two cameras the world is metric, and TF goes from `odom_frame` to
`base_frame`. Optical frames that nobody publishes on `/tf_static` are published there by the node.
Without it TF goes from `odom_frame` to the optical frames. Unless the network itself is metric,
the unit is then that of the first window; `window` and `/diagnostics` say so.
"""
_CAMERA_TEXT = """\
A rotation is undone on the way out: depth, colour, K, points and poses belong to the image as the
driver sends it and to its optical frame. Nothing in the rig or in TF has to know about it. A crop
keeps the optical frame too; K follows it. All images of a window have one shape for the
network: among cameras that stand upright one on its side loses its margins, and so do they; how
much is said in the log and on /diagnostics.

With `rectify` the crop is counted in the rectified image. Its K is that of P in `camera_info`, as
with image_proc, or K where P is not set or belongs to a frame rotated by R (stereo). Where the
lens shows nothing of the rectified image it is black and depth is unknown. A camera without
`camera_info` goes in as it is, which is reported; a distortion model that is not known stops the
camera, with the reason. `plumb_bob` and `rational_polynomial` take 4 to 14 coefficients, those
left out are zero.

## Calibration

`camera_info_is` says what the images are: `raw`, for which K and D hold, or `rectified`, for which
P (its left 3x3) holds and D and R do not. `auto` takes those for rectified whose topic, after
remapping, has a last part that begins with `image_rect`. Rectified images under another name need
`camera_info_is: rectified`: image_proc sends the same CameraInfo with both, so that it cannot be
seen in the message.

`camera_info` is looked at before it is used. What is found is said in the log and on
/diagnostics, and something else is used in its place:

- K with zeros or NaN, the identity, fx below 0.2 or above 20 image widths, fy/fx beyond 4, a
  principal point of (0, 0) or more than half an image outside: P where it is plausible, else the
  network's own intrinsics.
- P with the same, of rectified images: K where there is neither distortion nor a rotation R, else
  the network's own.
- Region of interest or binning that are applied already, so that `width` and `height` are those
  of the image: K, else P, as they are, where the principal point is in the middle half of it.
- Another size than that of the image: the network's own. Whether it was scaled or cropped is not
  known.
- None after 2 s of images: the network's own.

It may be published once, before the node starts, by a publisher that keeps it (transient local).

## Encodings of input images

`rgb8`, `bgr8`, `rgba8`, `bgra8`, `mono8`, the same with 16 bits,
`bayer_{rggb,bggr,gbrg,grbg}{8,16}`, `uyvy` (`yuv422`), `yuyv` (`yuv422_yuy2`), `nv12`, `nv21`.
Others go through cv_bridge where that is installed. Of 16 bits the upper 8 are used; a sensor
that sends 10 or 12 bits without shifting them needs `mono16_bits`, and is named when it is not
set.

Compressed images may be JPEG, PNG, WebP, TIFF or BMP; the bytes say which, and what follows their
end is ignored. `format` is read where it names a mosaic (`bayer_rggb8; jpeg compressed`) and the
image is grey. A JPEG without end marker is used when all its rows are there, which is said; one
that is cut is refused. Orientation tags are ignored, since `camera_info` describes the stored
pixels. `max_image_pixels` is compared with the header, before memory is taken for the pixels.

## QoS

Depth, history and reliability of every topic can be set at the start, for example
`qos_overrides./front/image_raw.subscription.reliability: reliable`.
"""


_GENERATED = re.compile(r'(?s)(<!-- options: (\S+?) -->\n).*?(<!-- end -->)')
"""Part of a page that is written from the table; its name is a key of `_TABLES`."""

_SHARED = (EstimatorOptions, PredictionOptions, ContentOptions, GlbOptions, ResultOptions)
_OF_STREAM = (StreamOptions, InputOptions, RunOptions, StreamInputOptions, StreamFileOptions)
_TABLES: dict[str, Callable[[], list[str]]] = {
    'shared': lambda: _command_table(_SHARED),
    'input': lambda: _command_table((InputOptions,)),
    'stream': lambda: _command_table(_OF_STREAM, Entrance.STREAM),
    'bag': lambda: _command_table((RunOptions, OutputChoice), Entrance.BAG),
    'engines': lambda: _command_table((EstimatorOptions,), Entrance.ENGINES),
    'glb': lambda: _python_table(GlbOptions),
    'gs_ply': lambda: _python_table(GsPlyOptions),
    'gs_video': lambda: _python_table(FlightOptions),
}


def option_groups() -> list[tuple[str, tuple[OptionSpec, ...]]]:
    """Return name of group to its parameters, in the order of declaration."""
    defaults = NodeOptions()
    return [
        (group.name, specs_of(getattr(defaults, group.name), Entrance.NODE))
        for group in fields(NodeOptions)
    ]


def render_yaml() -> str:
    """Return the content of config/da3.yaml."""
    parts = [_YAML_HEAD.rstrip('\n')]
    for group, specs in option_groups():
        parts.append(f'    # ---- {_TITLES[group]}')
        parts += [_yaml_entry(spec) for spec in specs]
    return '\n'.join(parts) + '\n' + _YAML_TAIL


def _yaml_entry(spec: OptionSpec) -> str:
    text = f'{spec.help} {_sentence(spec.limits)}'.rstrip()
    if spec.dynamic:
        text += ' [dynamic]'
    comment = textwrap.fill(text, 99, initial_indent='    # ', subsequent_indent='    # ')
    return f'\n{comment}\n    {spec.name}: {_yaml_value(spec.default)}'


def _sentence(text: str) -> str:
    return f'{text[0].upper()}{text[1:]}.' if text else ''


def _yaml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, Path)):
        return "'" + str(value).replace("'", "''") + "'"
    if isinstance(value, tuple):
        return '[' + ', '.join(_yaml_value(item) for item in value) + ']'
    return repr(value)


def render_docs() -> str:
    """Return the content of docs/parameters.md."""
    parts = [_DOCS_HEAD]
    for group, specs in option_groups():
        parts.append(f'\n## {_TITLES[group]}\n')
        header = ('parameter', 'default', 'unit', 'limits', 'dynamic', 'meaning')
        parts += _table(header, [_docs_row(spec) for spec in specs])
    parts += ['\n## The rig\n', *_camera_table(BASE_FROM_CAMERA), '', _RIG_TEXT]
    parts += ['## Single cameras\n', *_camera_table(ROTATION_DEG, CROP_PX), '', _CAMERA_TEXT]
    return '\n'.join(parts).rstrip('\n') + '\n'


def _docs_row(spec: OptionSpec) -> Sequence[str]:
    others = ''.join(f' Another name: `{alias}`.' for alias in spec.aliases)
    return (
        f'`{spec.name}`',
        f'`{_yaml_value(spec.default)}`',
        spec.unit or '-',
        spec.limits or '-',
        'yes' if spec.dynamic else 'no',
        spec.help + others,
    )


def _camera_table(*parameters: CameraParameter) -> list[str]:
    rows = [
        (
            f'`{parameter.of("<camera>")}`',
            'not set' if parameter.default is None else f'`{parameter.default}`',
            parameter.help_of('`<camera>`'),
        )
        for parameter in parameters
    ]
    return _table(('parameter', 'default', 'meaning'), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    escaped = ([cell.replace('|', r'\|') for cell in row] for row in rows)
    return [f'| {" | ".join(row)} |' for row in (header, ['---'] * len(header), *escaped)]


def _command_table(groups: Sequence[type], entrance: Entrance = Entrance.SCENES) -> list[str]:
    rows = [
        (
            ', '.join(f'`{flag}`' for flag in _flags(spec)),
            _command_default(spec),
            spec.limits or '-',
            spec.help,
        )
        for group in groups
        for spec in specs_of(group, entrance)
    ]
    return _table(('option', 'default', 'limits', 'meaning'), rows)


def _flags(spec: OptionSpec) -> list[str]:
    return [spec.flag or f'--{n.replace("_", "-")}' for n in (spec.name, *spec.aliases)]


def _command_default(spec: OptionSpec) -> str:
    if isinstance(spec.default, bool):
        return 'yes' if spec.default else 'no'
    return 'none' if spec.default in ('', None) else f'`{spec.default}`'


def _python_table(group: type) -> list[str]:
    rows = [
        (
            ', '.join(f'`{name}`' for name in (spec.name, *spec.aliases)),
            f'`{spec.default!r}`',
            spec.limits or '-',
            spec.help,
        )
        for spec in specs_of(group, Entrance.PREDICTION)
    ]
    return _table(('option', 'default', 'limits', 'meaning'), rows)


def with_tables(name: str) -> str:
    """Return a page of docs/ with its tables of options as the option table has them now."""
    text = (ROOT / name).read_text(encoding='utf-8')
    return _GENERATED.sub(lambda m: '\n'.join([m[1], *_TABLES[m[2]](), '', m[3]]), text)


OUTPUTS: dict[str, Callable[[], str]] = {
    'config/da3.yaml': render_yaml,
    'docs/parameters.md': render_docs,
    'docs/bags.md': lambda: with_tables('docs/bags.md'),
    'docs/cli.md': lambda: with_tables('docs/cli.md'),
    'docs/exports.md': lambda: with_tables('docs/exports.md'),
}


def main() -> int:
    """Write the files, or compare them; return the exit status."""
    status = 0
    for name, render in OUTPUTS.items():
        path = ROOT / name
        if '--check' not in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(render(), encoding='utf-8')
            print(f'{name} written')
        elif not path.is_file() or path.read_text(encoding='utf-8') != render():
            print(f'{name} is out of date: run python tools/parameter_docs.py')
            status = 1
    return status


if __name__ == '__main__':
    raise SystemExit(main())
