"""The commands that the documentation shows do what it says, copied as they are.

What can run here runs, in a folder with what they name; of the others every word is looked up.
"""

from configparser import ConfigParser
from pathlib import Path
import re

import av
import cv2
import numpy as np
import pytest

from da3_ros.cli.app import COMMANDS
from da3_ros.inference.api import DepthAnything3
from helpers.cli import invoke
from helpers.colmap_writer import write_binary
from helpers.doc_commands import PAGES, ROOT, blocks, commands

SHOWN = [(page, words) for page in PAGES for words in commands(page)]
OF_DA3 = [(page, words) for page, words in SHOWN if words[0] == 'da3']
RUN = ('auto', 'images', 'colmap', 'export', 'info', 'models')
TRIED_ELSEWHERE = {
    *('bag', 'stream', 'eval', 'doctor', 'demo', 'play', 'record', 'bag-from-video'),
    *('synthesize', 'cloud'),
}
"""Long inputs, the machine, ROS, bags: test_stream, test_eval_traj, test_doctor, test_demo,
test_play_record, test_bag_command, test_bag_to_cloud."""


@pytest.fixture(scope='module')
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a video and a COLMAP dataset by the names of the documentation."""
    folder = tmp_path_factory.mktemp('desk')
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (3, 6, 8, 3)).astype(np.uint8)
    pictures = [cv2.resize(picture, (64, 48)) for picture in coarse]
    for inner in ('photos', 'garden/images'):
        (folder / inner).mkdir(parents=True)
        for index, picture in enumerate(pictures):
            cv2.imwrite(str(folder / inner / f'{index}.jpg'), picture)
    for name, picture in zip(('a.jpg', 'b.jpg'), pictures, strict=False):
        cv2.imwrite(str(folder / name), picture)
    identity = (1.0, 0.0, 0.0, 0.0)
    images = [
        (i + 1, (*identity, 0.1 * i, 0.0, 0.0), 1, f'{i}.jpg', [(1.0, 1.0, -1)]) for i in range(3)
    ]
    camera = (1, 'PINHOLE', 64, 48, (60.0, 60.0, 32.0, 24.0))
    write_binary(folder / 'garden' / 'sparse' / '0', [camera], images)
    with av.open(str(folder / 'holiday.mp4'), 'w') as container:
        stream = container.add_stream('mpeg4', rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode(None))
    return folder


def test_every_command_runs_as_it_is_written(
    desk: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    # The default by its rule, and no image larger than needed.
    monkeypatch.setenv('DA3_MODEL', str(checkpoint))
    monkeypatch.setattr(DepthAnything3, 'process_res', 56)
    done = set()
    for page in PAGES:
        for words in (words for shown, words in OF_DA3 if shown == page and words[1] in RUN):
            result = invoke(*words[1:])
            assert result.exit_code == 0, (page.name, words, result.output, result.exception)
            done.add(words[1])
        for name in ('out', 'some', 'scene', 'depths', 'garden_out', 'again'):
            _set_aside(desk / name)
    assert done >= {'auto', 'images', 'colmap', 'export', 'info'}


def _set_aside(folder: Path) -> None:
    """Let the next page begin without the results of this one."""
    if folder.exists():
        number = sum(1 for _ in folder.parent.glob(f'{folder.name}.*'))
        folder.rename(folder.parent / f'{folder.name}.{number}')


def test_the_batch_example_writes_numbers() -> None:
    batches = [words for _, words in OF_DA3 if '--each' in words]
    assert batches
    for words in batches:
        formats = words[words.index('--export-format') + 1].split('-')
        assert {'npz', 'mini_npz', 'depth_png'} & set(formats), words


def test_every_other_command_of_da3_exists() -> None:
    for page, words in OF_DA3:
        assert words[1] in COMMANDS, (page.name, words)
        assert words[1] in RUN or words[1] in TRIED_ELSEWHERE, words


def test_targets_and_variables_of_make_exist() -> None:
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    targets = set(re.findall(r'^([a-z-]+):', makefile, re.M))
    variables = set(re.findall(r'^([A-Z]+) \?=', makefile, re.M))
    for page in PAGES:
        text = page.read_text(encoding='utf-8')
        for line in re.findall(r'`make ([^`]+)`', text) + [
            ' '.join(words[1:]) for _, words in SHOWN if words[0] == 'make'
        ]:
            target, *given = line.split('#')[0].split()
            assert target in targets, (page.name, line)
            named = {word.split('=')[0] for word in given if re.match(r'[A-Z]+=', word)}
            assert named <= variables, (page.name, line)


def test_launch_files_and_programs_exist() -> None:
    programs = ConfigParser()
    programs.read(ROOT / 'setup.cfg')
    scripts = re.findall(r'^(\w+) =', programs['options.entry_points']['console_scripts'], re.M)
    for page in PAGES:
        text = page.read_text(encoding='utf-8')
        for name in re.findall(r'ros2 launch da3_ros (\S+\.launch\.py)', text):
            assert (ROOT / 'launch' / name).is_file(), (page.name, name)
        for name in re.findall(r'ros2 run da3_ros (\w+)', text):
            assert name in scripts, (page.name, name)


def test_nobody_is_sent_to_an_index_for_this_package() -> None:
    """It is on none: pip takes it from its folder, and extras by names that there are."""
    parser = ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    extras = set(parser['options.extras_require'])
    folders = ('da3_ros', 'launch', 'tools', 'config', 'requirements')
    sources = [
        p for f in folders for p in (ROOT / f).rglob('*') if p.suffix in ('.py', '.yaml', '.txt')
    ]
    for path in (*PAGES, *sources):
        text = path.read_text(encoding='utf-8')
        assert not re.search(r'da3[_-]ros\[', text), path
        assert not re.search(r'pip3? install [^`\n]*\bda3[_-]ros(?![\w/])', text), path
        assert set(re.findall(r"""["']\.\[(\w+)\]["']""", text)) <= extras, path


def test_the_steps_on_a_robot_are_complete_and_in_order() -> None:
    """Of REP 145 and the colcon tutorial: source, dependencies, build, source again, run."""
    (steps,) = [text for text in blocks(ROOT / 'README.md', 'sh') if 'colcon build' in text]
    places = [
        steps.index(step)
        for step in (
            '. /opt/ros/', 'rosdep init', 'rosdep update', 'rosdep install',
            'requirements/without-rosdep-key.txt', 'colcon build', '. install/setup.bash',
            'ros2 launch',
        )
    ]  # fmt: skip
    assert places == sorted(places)


def test_the_python_of_the_readme_runs(
    desk: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setattr(DepthAnything3, 'process_res', 56)
    load = DepthAnything3.from_pretrained
    monkeypatch.setattr(DepthAnything3, 'from_pretrained', lambda name: load(checkpoint))
    (code,) = blocks(ROOT / 'README.md', 'python')
    names: dict[str, object] = {}
    exec(compile(code, 'README.md', 'exec'), names)
    lines = re.findall(r'^(prediction\.\w+)  # \((.*?)\)', code, re.M)
    assert len(lines) == 3
    for expression, shape in lines:
        found = eval(expression, names).shape
        assert len(found) == len(shape.split(','))
        assert found[0] == 2


def test_the_python_of_the_page_of_exports_runs(
    desk: Path, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = DepthAnything3.from_pretrained(checkpoint)
    images = [str(desk / 'a.jpg'), str(desk / 'b.jpg')]
    prediction = model.inference(images, process_res=28, infer_gs=True)
    (code,) = blocks(ROOT / 'docs' / 'exports.md', 'python')
    exec(compile(code, 'exports.md', 'exec'), {'prediction': prediction})
    assert (tmp_path / 'out' / 'scene.glb').is_file()
    assert list((tmp_path / 'out' / 'gs_video').glob('*.mp4'))
