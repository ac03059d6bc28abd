"""Write config/da3.yaml and docs/parameters.md from the declarations in da3_ros/options/.

Usage: python tools/parameter_docs.py [--check]
With --check nothing is written; the exit status is 1 when a file is out of date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
import sys
import textwrap

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from da3_ros.options import (  # noqa: E402 - after the path of the source tree
    NodeOptions,
    OptionSpec,
    OptionValue,
    option_specs,
)

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

    # Single cameras: the clockwise turn that makes the image upright for the network (0, 90, 180,
    # 270 degrees), and the part of the image that is used: left, top, width, height in pixels.
    # input:
    #   camera:
    #     rotation_deg: 180
    #     crop_px: [0, 40, 640, 400]
"""
_DOCS_HEAD = """\
# Parameters of da3_node

Written by `tools/parameter_docs.py` from the declarations in `da3_ros/options/`; edit there.
Dynamic parameters may change while the node runs (`ros2 param set`); a change is checked as a
whole and then taken, or rejected with the reason. All others are read when the node is configured:
set them at the start, or (but for `autostart`) while it is unconfigured, that is after
`ros2 lifecycle set /da3_node cleanup`. A wrong value fails the transition, with the reason in the
log and on `/diagnostics`; correct the parameter and configure again.
"""
_DOCS_TAIL = """
## The rig

| parameter | default | meaning |
| --- | --- | --- |
| `rig.<camera>.base_from_camera` | not set | Pose of the camera's optical frame in `base_frame`: \
x y z (m) qx qy qz qw. Not set or empty: taken from `/tf_static` if `use_tf_static`, \
else unknown. |

With the rig of at least two cameras the world is metric, and TF goes from `odom_frame` to
`base_frame`. Optical frames that nobody publishes on `/tf_static` are published there by the node.
Without it TF goes from `odom_frame` to the optical frames. Unless the network itself is metric,
the unit is then that of the first window; `window` and `/diagnostics` say so.

## Single cameras

| parameter | default | meaning |
| --- | --- | --- |
| `input.<camera>.rotation_deg` | `0` | Clockwise turn (0, 90, 180 or 270 degrees) that makes the \
camera's image upright for the network. |
| `input.<camera>.crop_px` | not set | Part of the image that is used: left, top, width, height \
in whole pixels. Not set or empty: all of it. |

A turn is undone on the way out: depth, colour, K, points and poses belong to the image as the
driver sends it and to its optical frame. Nothing in the rig or in TF has to know about the turn.
A crop keeps the optical frame too; K follows it. All images of a window have one shape for the
network: among cameras that stand upright one on its side loses its margins, and so do they.

With `rectify` the crop is counted in the rectified image. Its K is that of P in `camera_info`, as
with image_proc, or K where P is not set or belongs to a frame turned by R (stereo). Where the lens
shows nothing of the rectified image it is black and depth is unknown. A camera without
`camera_info` goes in as it is, which is reported; a distortion model that is not known stops the
camera, with the reason.

## Encodings of input images

`rgb8`, `bgr8`, `rgba8`, `bgra8`, `mono8`, the same with 16 bits (the upper 8 are used),
`bayer_{rggb,bggr,gbrg,grbg}{8,16}`, `uyvy` (`yuv422`), `yuyv` (`yuv422_yuy2`), `nv12`, `nv21`.
Others go through cv_bridge where that is installed.

## QoS

Depth, history and reliability of every topic can be set at the start, for example
`qos_overrides./front/image_raw.subscription.reliability: reliable`.
"""


def option_groups() -> list[tuple[str, list[OptionSpec]]]:
    """Return name of group to its options, in the order of declaration."""
    specs = {spec.name: spec for spec in option_specs()}
    defaults = NodeOptions()
    return [
        (group.name, [specs[f.name] for f in fields(getattr(defaults, group.name))])
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
    text = f'{spec.help}{" " + _limits(spec) if _limits(spec) else ""}'
    if spec.dynamic:
        text += ' [dynamic]'
    comment = textwrap.fill(text, 99, initial_indent='    # ', subsequent_indent='    # ')
    return f'\n{comment}\n    {spec.name}: {_yaml_value(spec.default)}'


def _yaml_value(value: OptionValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, tuple):
        return '[' + ', '.join(_yaml_value(item) for item in value) + ']'
    return repr(value)


def _limits(spec: OptionSpec) -> str:
    if spec.choices:
        return f'One of {", ".join(spec.choices)}.'
    if spec.minimum is None or spec.maximum is None:
        return ''
    return f'{spec.minimum:g} to {spec.maximum:g}.'


def render_docs() -> str:
    """Return the content of docs/parameters.md."""
    parts = [_DOCS_HEAD]
    for group, specs in option_groups():
        parts.append(f'\n## {_TITLES[group]}\n')
        parts.append('| parameter | default | limits | dynamic | meaning |')
        parts.append('| --- | --- | --- | --- | --- |')
        parts += [_docs_row(spec) for spec in specs]
    return '\n'.join(parts) + '\n' + _DOCS_TAIL


def _docs_row(spec: OptionSpec) -> str:
    cells = [
        f'`{spec.name}`',
        f'`{_yaml_value(spec.default)}`',
        _limits(spec).rstrip('.') or '-',
        'yes' if spec.dynamic else 'no',
        spec.help.replace('|', r'\|'),
    ]
    return f'| {" | ".join(cells)} |'


OUTPUTS: dict[str, Callable[[], str]] = {
    'config/da3.yaml': render_yaml,
    'docs/parameters.md': render_docs,
}


def main() -> int:
    """Write both files, or compare them; return the exit status."""
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
