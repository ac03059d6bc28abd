"""What `da3_node` itself is given on its command line, apart from what ROS 2 takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
import stat

from da3_ros.foreign import plain_path

# Of a shell's `<(command)`, which has its writer.
_OPEN_PIPES = Path('/dev/fd')

_HELP = """\
Usage: da3_node [--ros-args ...]

The ROS 2 node: cameras in, depth, poses and clouds out. Everything is a parameter:

  da3_node --ros-args -p 'cameras:=[front, left]' -p model:=da3-base
  da3_node --ros-args --params-file my_robot.yaml -r __ns:=/robot

  -p NAME:=VALUE        a parameter; docs/parameters.md describes all of them
  --params-file FILE    parameters from YAML; config/da3.yaml has all with their defaults
  -r FROM:=TO           another name of a topic, of the node (__node) or its namespace (__ns)
  --log-level LEVEL     debug, info, warn, error or fatal
  -h, --help            this text, before --ros-args
  --version             the version

Once it says ready it waits for <camera>/image_raw and <camera>/camera_info. Launch files:
ros2 launch da3_ros da3.launch.py cameras:=front,left. Exit status: 0 ended by Ctrl-C or SIGTERM,
1 an error at the start, 2 wrong usage.
"""


def answer(arguments: Sequence[str]) -> tuple[str, int] | None:
    """Return text and exit status where the node does not start; None where it shall.

    Args:
        arguments: without the name of the program.
    """
    plain = _plain(arguments)
    if {'-h', '--help'} & set(plain):
        return _HELP, 0
    if '--version' in plain:
        from da3_ros import __version__

        return f'da3_ros {__version__}\n', 0
    if plain:
        return f'da3_node: {_refusal(plain[0])}; see da3_node --help\n', 2
    endless = next((path for path in _parameter_files(arguments) if _is_endless(path)), None)
    if endless is not None:
        shown = plain_path(endless)
        return f'da3_node: --params-file {shown}: expected a file, it is a device or a pipe\n', 2
    return None


def _parameter_files(arguments: Sequence[str]) -> list[Path]:
    pairs = pairwise(arguments)
    return [Path(value) for name, value in pairs if name == '--params-file']


def _is_endless(path: Path) -> bool:
    """Return whether rcl might read a file for ever, which no signal would end."""
    try:
        mode = path.stat().st_mode
    except OSError:
        # rcl says what is missing.
        return False
    is_known_pipe = stat.S_ISFIFO(mode) and path.parent == _OPEN_PIPES
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or is_known_pipe)


def _plain(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that are not between `--ros-args` and `--`, as rcl divides them."""
    plain, is_ros = [], False
    for argument in arguments:
        if argument == '--ros-args':
            is_ros = True
        elif is_ros and argument == '--':
            is_ros = False
        elif not is_ros:
            plain.append(argument)
    return plain


def _refusal(argument: str) -> str:
    if ':=' in argument:
        name = argument.lstrip('-')
        return f'expected --ros-args before parameters: --ros-args -p {name!r}, got {argument!r}'
    return f'expected --ros-args and what ROS 2 takes, got {argument!r}'
