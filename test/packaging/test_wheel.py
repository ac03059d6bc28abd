"""`pip install .` gives the Python package and its commands, without ROS."""

from configparser import ConfigParser
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import venv
from zipfile import ZipFile

import pytest

from helpers.ros_process import ROOT

_SOURCES = (
    'da3_ros',
    'msg',
    'setup.py',
    'setup.cfg',
    'pyproject.toml',
    'README.md',
    'LICENSE',
    'NOTICE',
)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that no build folder appears in the checkout."""
    source = tmp_path_factory.mktemp('source')
    target = tmp_path_factory.mktemp('wheel')
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, source / name)
    pip = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation']
    before = {path.relative_to(source) for path in source.rglob('*')}
    subprocess.run([*pip, '--wheel-dir', str(target), str(source)], check=True, timeout=100)
    # Neither build/ nor *.egg-info, which the next user of the folder would wonder about.
    assert {path.relative_to(source) for path in source.rglob('*')} == before
    return next(target.glob('da3_ros-*.whl'))


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())

    expected = {
        str(file.relative_to(ROOT))
        for file in (ROOT / 'da3_ros').rglob('*')
        if file.is_file() and '__pycache__' not in file.parts
    }
    assert expected <= names
    assert 'da3_ros/weights/da3_nano/model.safetensors' in expected
    assert not {name for name in names if name.startswith(('test/', 'tools/', 'helpers/'))}


def test_wheel_carries_licence_and_commands(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        entry = next(name for name in names if name.endswith('.dist-info/entry_points.txt'))
        parser = ConfigParser()
        parser.read_string(archive.read(entry).decode())

    assert dict(parser['console_scripts']) == {
        'da3': 'da3_ros.cli.main:run',
        'da3_node': 'da3_ros.ros.node.main:main',
    }
    assert any(name.endswith('/LICENSE') for name in names)


def test_wheel_offers_the_extras_of_the_official_package(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        entry = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        text = archive.read(entry).decode()

    assert {'app', 'gs', 'all'} <= set(re.findall(r'^Provides-Extra: (\S+)$', text, re.M))


@pytest.fixture(scope='module')
def borrowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have the libraries of the running environment in a folder, without ROS and the checkout."""
    folder = tmp_path_factory.mktemp('libraries') / 'borrowed'
    _borrow_libraries(folder)
    return folder


def _install(wheel: Path, bare: Path, *options: str) -> None:
    """Make an environment and install the wheel into it, or where the options say."""
    venv.create(bare, with_pip=False, symlinks=True)
    pip = [sys.executable, '-m', 'pip', '--python', str(bare / 'bin/python')]
    install = [*pip, 'install', '--quiet', '--no-deps', '--no-index', *options, str(wheel)]
    variables = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    subprocess.run(install, check=True, timeout=100, env=variables)


def _answer(command: list[str], *paths: Path) -> str:
    """Return what a command prints that sees these paths alone."""
    folder = paths[0].parent
    answer = subprocess.run(
        command,
        env={
            'PYTHONPATH': ':'.join(map(str, paths)),
            'PATH': '/usr/bin:/bin',
            'HOME': str(folder),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_installed_command_answers_without_ros(
    wheel: Path, borrowed: Path, tmp_path: Path
) -> None:
    _install(wheel, tmp_path / 'bare')
    assert 'demo' in _answer([str(tmp_path / 'bare/bin/da3'), '--help'], borrowed)


@pytest.mark.parametrize('option', ['--target', '--prefix'])
def test_bags_get_the_definitions_of_reports_from_an_installed_wheel(
    wheel: Path, borrowed: Path, tmp_path: Path, option: str
) -> None:
    """Wherever it is: the one has modules and definitions in one folder, the other in two."""
    bare, target = tmp_path / 'bare', tmp_path / 'target'
    _install(wheel, bare, option, str(target))
    code = (
        'import da3_ros, da3_ros.sinks.definitions as d; m = d.MessageDefinitions();'
        "m.require('da3_ros/msg/WindowReport'); print(da3_ros.__file__);"
        "print(m.typestore.generate_msgdef('da3_ros/msg/WindowReport', ros_version=2)[0])"
    )
    modules = next(target.rglob('da3_ros/__init__.py')).parents[1]
    found = _answer([str(bare / 'bin/python'), '-c', code], modules, borrowed)
    place, _, text = found.partition('\n')
    assert Path(place).is_relative_to(target)
    assert 'float64 stamp_to_publish_s' in text
    assert 'MSG: da3_ros/ViewReport' in text


def _borrow_libraries(folder: Path) -> None:
    """Link everything of the running environment's site-packages except ROS packages."""
    folder.mkdir()
    for path in map(Path, sys.path):
        if path.name != 'site-packages' or not (path / 'torch').is_dir():
            continue
        for item in path.iterdir():
            ros = item.name.startswith(('rclpy', 'rcl', 'ros_', 'rosidl', 'rmw', 'da3_ros'))
            if not ros and not item.name.endswith('_msgs') and not (folder / item.name).exists():
                (folder / item.name).symlink_to(item)
