"""What tests of faults share: a node in a process, instants until something comes, diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np

from da3_ros.geometry.camera import ImageSize
from da3_ros.ros.conversions import image_message
from da3_ros.ros.messages.geometry_messages import header
from helpers.ros_process import ROOT, RosProcess
from helpers.ros_rig import RosRobot, matrix_of

NODE = 'da3_ros.ros.node.main'
HELPERS = ROOT / 'test' / 'helpers'
TELLING_NODE = HELPERS / 'telling_node.py'
LONG_S = 60.0
"""How long to wait for what takes seconds on a machine that does nothing else."""


def start_node(
    domain_id: int,
    cameras: Sequence[str],
    *parameters: str,
    program: Sequence[str | Path] = (NODE,),
    remappings: Sequence[str] = (),
) -> RosProcess:
    """Start the node that knows the truth, with windows of two sets.

    Args:
        domain_id: its ROS_DOMAIN_ID.
        cameras: its parameter.
        parameters: further ones, as `name:=value`.
        program: what to run, and its own arguments; `telling_node.py` for one.
        remappings: as `from:=to`.
    """
    given = [f'cameras:=[{", ".join(cameras)}]', 'window:=2', *parameters]
    if tuple(program) == (NODE,):
        given.append('model:=truth')
    arguments = [*program[1:], '--ros-args']
    arguments += [a for p in given for a in ('-p', p)]
    arguments += [a for r in remappings for a in ('-r', r)]
    return RosProcess(program[0], *arguments, domain_id=domain_id)


class NoSuchPartError(LookupError):
    """Diagnostics that say nothing of a part."""


def send_until(
    robot: RosRobot,
    key: str,
    fits: Callable[[Any], bool],
    send: Callable[[], object] | None = None,
    timeout_s: float = LONG_S,
) -> Any:
    """Send instants until a new message fits, and return it.

    Args:
        robot: collects the messages.
        key: of what it listens to.
        fits: whether a message is the one.
        send: sends an instant; None for one of all cameras.
        timeout_s: longest wait.
    """
    seen = len(robot.messages(key))
    deadline = time.monotonic() + timeout_s

    def found() -> Any:
        return next((m for m in robot.messages(key)[seen:] if speaks_and_fits(m)), None)

    def speaks_and_fits(message: Any) -> bool:
        try:
            return fits(message)
        except NoSuchPartError:
            # A node that is not active yet says nothing of its cameras.
            return False

    while (message := found()) is None:
        last = robot.messages(key)[seen:][-1:]
        assert time.monotonic() < deadline, f'{key}: no such message; the last one: {last}'
        (send or robot.send)()
        next_s = time.monotonic() + 0.1
        while found() is None and time.monotonic() < next_s:
            time.sleep(0.01)
    return message


class Sender:
    """Sends instants as fast as they go out: the truth looks at no pixels.

    Args:
        robot: publishes them.
        size: of every image.
    """

    def __init__(self, robot: RosRobot, size: ImageSize) -> None:
        self._robot = robot
        self._size = size
        self._pixels = np.zeros((size.height, size.width, 3), np.uint8)
        self.stamps: list[int] = []
        """Of all instants so far."""

    def send(self) -> int:
        """Publish one instant of all cameras and return its stamp."""
        robot = self._robot
        stamp_ns = robot.next_stamp()
        self.stamps.append(stamp_ns)
        for camera in robot.cameras:
            robot.infos[camera].publish(robot.info(camera, stamp_ns, self._size))
            head = header(stamp_ns, robot.frame_id(camera))
            robot.images[camera].publish(image_message(head, self._pixels, 'rgb8'))
        return stamp_ns


def status_of(message: DiagnosticArray, part: str = 'stream') -> DiagnosticStatus:
    """Return what diagnostics say of a part, such as `camera front`.

    Raises:
        NoSuchPartError: they say nothing of it.
    """
    for status in message.status:
        if status.name.endswith(f': {part}'):
            return status
    raise NoSuchPartError(f'{part}: expected one of {[s.name for s in message.status]}')


def values_of(message: DiagnosticArray, part: str = 'stream') -> dict[str, str]:
    """Return the values that diagnostics tell of a part, by key."""
    return {pair.key: pair.value for pair in status_of(message, part).values}


def newest(robot: RosRobot, key: str) -> Any:
    """Return what came last."""
    return robot.messages(key)[-1]


def check_base(robot: RosRobot, odometry: Any, stamp_ns: int) -> None:
    """Check that the base is where it is in truth, seen from where the world began."""
    truth = np.linalg.inv(robot.world.world_from_base(robot.start_ns))
    truth = truth @ robot.world.world_from_base(stamp_ns)
    np.testing.assert_allclose(matrix_of(odometry.pose.pose), truth, atol=1e-5)


def resident_mb(pid: int) -> float:
    """Return what a process holds in memory, in megabytes."""
    text = Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    line = next(line for line in text.splitlines() if line.startswith('VmRSS'))
    return int(line.split()[1]) / 1024.0
