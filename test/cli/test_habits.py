"""What users type by habit: several files, patterns, short options, devices, official commands."""

import json
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from da3_ros.cli.later import COMMANDS_INSTEAD
from helpers.cli import SMALL, da3, da3_json, failure, invoke
from helpers.raw_messages import text, write_bag

QUICK = ('--export-format', 'mini_npz', *SMALL)


@pytest.fixture
def options(tmp_path: Path, checkpoint: Path) -> tuple[str | Path, ...]:
    return ('--model', checkpoint, '-o', tmp_path / 'out', *QUICK)


def depth(folder: Path) -> np.ndarray:
    with np.load(folder / 'exports' / 'mini_npz' / 'results.npz') as archive:
        return np.asarray(archive['depth'])


@pytest.mark.parametrize('command', ['images', 'auto'])
def test_files_are_one_scene_however_they_are_named(
    command: str,
    tmp_path: Path,
    photos: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By name, by a pattern in quotes, and by their folder."""
    monkeypatch.chdir(photos.parent)
    # A shell puts 10 before 2.
    (photos / '0.png').rename(photos / '10.png')
    files = sorted(photos.glob('*.png'))
    found = []
    kinds: tuple[list[Path | str], ...] = ([*files], ['photos/*.png'], ['photos'])
    for number, inputs in enumerate(kinds):
        out = tmp_path / str(number)
        content = da3_json(command, *inputs, '--model', checkpoint, '-o', out, *QUICK)
        assert content['views'] == 3
        found.append(depth(out))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_the_order_of_files_is_that_of_the_user(
    tmp_path: Path, photos: Path, options: tuple[str | Path, ...]
) -> None:
    da3('images', photos / '2.png', photos / '0.png', *options, '--model', 'da3-nano')
    there = depth(tmp_path / 'out')
    back = ('-o', tmp_path / 'back', *QUICK, '--model', 'da3-nano')
    da3('images', photos / '0.png', photos / '2.png', *back)
    # The first view is the reference: the other order is another result.
    assert not np.array_equal(there, depth(tmp_path / 'back'))


def test_a_file_named_twice_is_one_view(photos: Path, options: tuple[str | Path, ...]) -> None:
    one = photos / '0.png'
    content = da3_json('images', one, one, photos / '1.png', *options)
    assert content['views'] == 2
    assert any('named more than once' in note and '0.png' in note for note in content['notes'])


def test_mixed_inputs_and_empty_patterns_are_refused(
    tmp_path: Path, photos: Path, options: tuple[str | Path, ...]
) -> None:
    (photos / 'notes.txt').write_text('no image')
    (tmp_path / 'other').mkdir()
    one = photos / '0.png'
    for words, status, expected in (
        (('images', one, photos), 2, 'got both'),
        (('image', one, one), 2, '`da3 images` takes several'),
        (('auto', one, photos), 2, 'several folders are several'),
        (('auto', photos, tmp_path / 'other'), 2, f'da3 images {photos}'),
        (('images', str(photos / '*.gif')), 1, 'nothing matches'),
        (('images', str(photos / '*')), 1, f'`da3 images {photos}` takes the images'),
        (('images', photos, '--resume'), 2, 'expected --each or several folders'),
    ):
        result = invoke(*words, *options)
        assert result.exit_code == status, words
        said = str(result.exception) if status == 1 else result.stderr
        # The frame of wrong usage breaks lines where it must, within paths too.
        assert expected.replace(' ', '') in ''.join(said.replace('│', '').split()), words
    assert not (tmp_path / 'out').exists()


def test_each_takes_files_and_folders_together(
    tmp_path: Path, photos: Path, options: tuple[str | Path, ...]
) -> None:
    content = da3_json('images', photos / '1.png', photos, '--each', *options)
    assert sorted(scene['name'] for scene in content['scenes']) == ['0', '1', '2']
    # The same again is what an interrupted batch meets.
    again = ('images', photos / '1.png', photos, '--each', *options)
    assert '--resume goes on' in failure(*again)
    assert da3_json(*again, '--resume')['skipped'] == 3


def test_what_is_for_others_says_for_whom(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'my drive', [text('/note', 1, 'x')])
    (tmp_path / 'results.npz').write_bytes(b'')
    for command, name, expected in (
        ('auto', bag, f"da3 play '{bag}'"),
        ('video', next(bag.glob('*.mcap')), 'da3 demo --bag'),
        ('image', tmp_path / 'results.npz', 'da3 export'),
        ('auto', '/dev/video7', 'video_device:=/dev/video7'),
        ('video', '0', 'ffmpeg -f v4l2 -i /dev/video0'),
        ('auto', '/dev/null', 'usb_cam'),
        ('auto', 'rtsp://user:secret@host/stream', 'ffmpeg -i ADDRESS'),
    ):
        said = failure(command, name, '-o', tmp_path / 'out')
        assert expected in said, (command, name)
        assert 'secret' not in said


def test_a_file_whose_name_looks_like_something_else_is_a_file(
    tmp_path: Path, photos: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(('0', 'a[1].png', '12:30.png')):
        Path(name).write_bytes((photos / '0.png').read_bytes())
        out = ('--model', checkpoint, '-o', f'out{number}', *QUICK)
        assert da3_json('image', name, *out)['views'] == 1


@pytest.mark.parametrize('before', [True, False])
def test_quiet_and_verbose_before_and_after_the_command(
    before: bool, photos: Path, options: tuple[str | Path, ...], caplog: pytest.LogCaptureFixture
) -> None:
    def call(flag: str, *more: str) -> tuple[str | Path, ...]:
        words = ('image', photos / '0.png', *options, '--overwrite', *more)
        return (flag, *words) if before else (*words, flag)

    assert da3(*call('-v')) != ''
    assert da3(*call('-q')) == ''
    assert json.loads(da3(*call('--quiet', '--json')))['views'] == 1
    # What is asked for is not silenced, nor is an error.
    listed = da3('-q', 'models') if before else da3('models', '-q')
    assert 'da3-small' in listed
    assert 'there is none' in failure('-q', 'image', 'nowhere.png')
    assert invoke('-v', 'models', '-q').exit_code == 2


def test_verbose_of_one_call_does_not_last(photos: Path) -> None:
    import logging

    invoke('models', '-v')
    assert logging.getLogger().level == logging.INFO
    invoke('models')
    assert logging.getLogger().level == logging.WARNING


@pytest.mark.parametrize('command', COMMANDS_INSTEAD)
def test_commands_of_the_official_tool_say_what_to_use(command: str) -> None:
    words = (command, '--model-dir', 'x', '--port', '7860', '--image_dir', 'y', 'a=b')
    for more in ((), ('--help',), ('--json',)):
        result = invoke(*words, *more)
        assert result.exit_code == 2
        assert result.stderr.count('\n') == 1
        assert result.stderr == f'da3: {command}: {COMMANDS_INSTEAD[command]}\n'
        if '--json' in more:
            assert json.loads(result.stdout)['exit_code'] == 2
    assert f'\u2502 {command} ' not in da3('--help')


def test_the_backend_is_asked_for_in_vain(photos: Path, options: tuple[str | Path, ...]) -> None:
    for asked in (('--use-backend',), ('--backend-url', 'http://localhost:8008')):
        result = invoke('auto', photos, *options, *asked)
        assert result.exit_code == 2
        assert result.stderr.count('\n') == 1
        assert 'da3 images FOLDER --each' in result.stderr
        told = json.loads(invoke('auto', photos, *options, *asked, '--json').stdout)
        assert (told['command'], told['exit_code']) == ('auto', 2)
    assert da3_json('auto', photos, *options, '--no-use-backend')['views'] == 3
    assert 'backend' not in da3('auto', '--help')


def test_without_arguments_the_list_is_printed() -> None:
    result = invoke()
    # 2 since click 8.2.
    assert result.exit_code in (0, 2)
    assert 'images' in result.output


def test_wrong_usage_is_json_too_and_told_once(photos: Path) -> None:
    for words in (
        ('images', '--json'),
        ('images', photos, '--conf-thresh-percentile', 'much', '--json'),
        ('images', photos, '--resume', '--json'),
        ('images', photos, photos / '0.png', '--json'),
    ):
        result = invoke(*words)
        content = json.loads(result.stdout)
        assert (content['status'], content['exit_code']) == ('error', 2), words
        assert content['command'] == 'images'


def test_the_package_is_the_command_and_the_benchmark_answers() -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, '-m', *words]
        return subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)

    assert run('da3_ros', '--version').stdout.startswith('da3_ros ')
    done = run('da3_ros.bench.evaluator', 'model.path=x', 'eval.datasets=[eth3d]')
    assert done.returncode == 2
    assert done.stderr == f'da3: bench: {COMMANDS_INSTEAD["bench"]}\n'
