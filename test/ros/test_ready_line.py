"""With what the node is ready, and what its program answers without starting it."""

import os
from pathlib import Path
import sys

import pytest

from da3_ros.ros.node import arguments, main, ready


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ([], None),
        (['--ros-args', '-p', 'model:=truth', '-r', '__ns:=/robot'], None),
        (['--ros-args', '-p', 'a:=b', '--'], None),
        # Between these two everything is for ROS 2, which may have a --help of its own.
        (['--ros-args', '--help'], None),
        (['--help'], 0),
        (['--ros-args', '-p', 'a:=b', '--', '-h'], 0),
        (['--version'], 0),
        (['model:=da3-base'], 2),
        (['--unknown'], 2),
        (['--ros-args', '-p', 'a:=b', '--', 'word'], 2),
    ],
)
def test_only_what_is_for_ros_starts_the_node(given: list[str], expected: int | None) -> None:
    said = arguments.answer(given)
    assert (None if said is None else said[1]) == expected


def test_parameter_files_that_never_end_are_refused(tmp_path: Path) -> None:
    def status(path: Path) -> int | None:
        said = arguments.answer(['--ros-args', '-p', 'a:=b', '--params-file', str(path)])
        return None if said is None else said[1]

    os.mkfifo(tmp_path / 'pipe')
    assert status(tmp_path / 'pipe') == status(Path('/dev/zero')) == 2
    (tmp_path / 'file').write_text('/**: {}')
    # What is missing, or a folder, rcl itself refuses.
    assert status(tmp_path / 'file') is status(tmp_path / 'none') is status(tmp_path) is None
    reader, writer = os.pipe()
    assert status(Path(f'/dev/fd/{reader}')) is None
    os.close(reader)
    os.close(writer)


def test_help_and_errors_come_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Whatever begins to start fails at the first step.
    monkeypatch.setattr(main, 'settle_threads', None)
    monkeypatch.setattr(sys, 'argv', ['da3_node', '--help'])
    assert main.main() == 0
    said = capsys.readouterr()
    assert '--ros-args -p' in said.out
    assert 'docs/parameters.md' in said.out
    assert max(map(len, said.out.splitlines())) <= 100
    monkeypatch.setattr(sys, 'argv', ['da3_node', 'model:=da3-base'])
    assert main.main() == 2
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err.count('\n') == 1
    assert "--ros-args -p 'model:=da3-base'" in said.err


def test_the_line_names_model_weights_device_cameras_and_topics(tmp_path: Path) -> None:
    def line(model: str | None, device: str = 'cpu') -> str:
        return ready.ready_line(model, device, ['front', 'left'], ['/front/image_raw', '/a/b'])

    found = line('da3-small', 'cuda:0')
    assert found.startswith('ready: da3-small (weights of depth-anything/DA3-SMALL) on cuda:0')
    assert found.endswith('cameras front, left; subscribed to /front/image_raw, /a/b')
    assert 'somebody/else on cpu' in line('somebody/else')
    assert f'network of the folder {tmp_path} on' in line(str(tmp_path))
    assert 'weights of this package' in line('da3-nano')
    assert 'random weights (output means nothing)' in line('random:da3-base')
    assert 'exact geometry' in line('truth', 'none')
    assert ' on ' not in line(None, 'none')
    computed = ready.ready_line('da3-nano', 'cpu', ['front'], [], 'openvino in fp32')
    assert 'on cpu by openvino in fp32' in computed
    assert 'disabled' in ready.ready_line('truth', 'none', ['front'], [])
