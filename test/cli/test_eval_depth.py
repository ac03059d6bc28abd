"""`da3 eval depth`: whatever depth is in, pairs and sizes, spreads, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
import struct
from typing import Any

import cv2
import numpy as np
import pytest

from da3_ros.metrics.calibration import NORMAL_SHARES
from da3_ros.metrics.depth import depth_error
from da3_ros.sinks.camera_bag import CameraBagWriter
from helpers.cli import da3, da3_json, failure, invoke
from helpers.eval_schema import assert_described
from helpers.raw_messages import STORE, StampedMessage, write_bag

SHAPE = (24, 32)
NAMES = ('a_000000', 'a_000007', 'a_000014')
START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000


def true_depth(seed: int) -> np.ndarray:
    """Return depth of a few metres in whole millimetres, some of it unknown (0)."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(6, 1, SHAPE[0])[:, None] + np.zeros(SHAPE)
    depth = np.round(rows * np.exp(rng.normal(0, 0.2, SHAPE)), 3)
    depth[rng.random(SHAPE) < 0.1] = 0
    return depth


def estimated(seed: int) -> np.ndarray:
    noise = np.random.default_rng(100 + seed).normal(0, 0.1, SHAPE)
    return (0.5 * true_depth(seed) * np.exp(noise)).astype(np.float32)


def write_png(path: Path, depth: np.ndarray, steps_per_m: int = 1000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.round(depth * steps_per_m).astype(np.uint16))


@pytest.fixture(scope='module')
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three true images as 16-bit PNG in millimetres."""
    folder = tmp_path_factory.mktemp('truth')
    for seed, name in enumerate(NAMES):
        write_png(folder / f'{name}.png', true_depth(seed))
    return folder


@pytest.fixture(scope='module')
def npy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their estimates as npy."""
    folder = tmp_path_factory.mktemp('npy')
    for seed, name in enumerate(NAMES):
        np.save(folder / f'{name}.npy', estimated(seed))
    return folder


def assert_figures(content: dict[str, Any], rel: float = 1e-5) -> None:
    """The figures are those of the images themselves."""
    pairs = [(estimated(seed), true_depth(seed)) for seed in range(3)]
    as_is = [depth_error(e, t, align_scale=False).figures for e, t in pairs]
    scaled = [depth_error(e, t, align_scale=True) for e, t in pairs]
    for name in ('abs_rel', 'rmse', 'delta1'):
        wanted = np.mean([getattr(one, name) for one in as_is])
        assert content['mean']['as_is'][name] == pytest.approx(wanted, rel=rel)
        wanted = np.mean([getattr(one.figures, name) for one in scaled])
        assert content['mean']['scale_each'][name] == pytest.approx(wanted, rel=rel)
    scales = [one.scale for one in scaled]
    assert [image['scale'] for image in content['images']] == pytest.approx(scales, rel=rel)


def test_folders_pair_by_name(truth: Path, npy: Path) -> None:
    content = da3_json('eval', 'depth', truth, npy, '--ranges', '0,2,4')
    assert (content['command'], content['schema']) == ('eval depth', 'da3.eval.depth/1')
    assert (content['pairs'], content['paired_by']) == (3, 'name')
    assert [image['name'] for image in content['images']] == list(NAMES)
    assert [(one['near'], one['far']) for one in content['ranges']] == [(0, 2), (2, 4)]
    assert 'calibration' not in content
    assert_described(content)
    assert_figures(content)
    text = da3('eval', 'depth', truth, npy)
    row = next(line for line in text.splitlines() if line.startswith('one scale per image'))
    assert float(row.split()[4]) == pytest.approx(
        content['mean']['scale_each']['abs_rel'], abs=1e-4
    )


def test_the_unit_of_whole_numbers_is_as_given(tmp_path: Path, truth: Path, npy: Path) -> None:
    for seed, name in enumerate(NAMES):
        write_png(tmp_path / f'{name}.png', true_depth(seed), 5000)
    words = ('eval', 'depth', tmp_path, npy)
    assert_figures(da3_json(*words, '--depth-unit', '0.0002'), rel=1e-3)
    same = da3_json('eval', 'depth', truth, tmp_path, '--estimate-unit', '0.0002')
    assert same['pooled']['as_is']['abs_rel'] < 1e-3
    # Millimetres, where nothing is said: five times too far.
    assert da3_json(*words)['scale'] == pytest.approx(10, rel=0.02)
    assert 'in metres already' in failure(*words, '--estimate-unit', '0.001')


def test_results_pair_by_their_place_and_say_their_confidence(tmp_path: Path, truth: Path) -> None:
    depth = np.stack([estimated(seed) for seed in range(3)])
    (tmp_path / 'exports' / 'mini_npz').mkdir(parents=True)
    truths = np.stack([true_depth(seed) for seed in range(3)])
    error = np.abs(2 * depth / np.where(truths > 0, truths, np.nan) - 1)
    np.savez_compressed(
        tmp_path / 'exports' / 'mini_npz' / 'results.npz',
        depth=depth,
        conf=(1 + 1 / np.nan_to_num(error, nan=1).clip(1e-6)).astype(np.float32),
    )
    content = da3_json('eval', 'depth', truth, tmp_path)
    assert content['paired_by'] == 'place'
    assert_figures(content)
    assert_described(content)
    errors = [one['abs_rel'] for one in content['confidence']]
    assert len(errors) == 10
    assert errors[0] > 3 * errors[-1]
    assert errors == sorted(errors, reverse=True)


def test_frames_of_a_stream_and_a_bag_pair_by_stamps(tmp_path: Path) -> None:
    bag, stream = tmp_path / 'drive.mcap', tmp_path / 'stream'
    (stream / 'results_output').mkdir(parents=True)
    with CameraBagWriter(bag) as writer:
        # The first image has no estimate.
        for place, seed in enumerate((9, 0, 1, 2)):
            depth = true_depth(seed).astype(np.float32)
            writer.write_depth('/truth/front/depth', START_NS + place * STEP_NS, 'f', depth)
    for seed in range(3):
        np.savez(
            stream / 'results_output' / f'frame_{seed}.npz',
            depth=estimated(seed), conf=np.ones(SHAPE, np.float32),
        )  # fmt: skip
    stamps = [START_NS + (seed + 1) * STEP_NS + 3_000_000 for seed in range(3)]
    (stream / 'stream.json').write_text(json.dumps({'stamps_ns': stamps}))
    content = da3_json('eval', 'depth', f'{bag}#/truth/front/depth', stream)
    assert (content['pairs'], content['paired_by']) == (3, 'stamp')
    assert content['without_partner'] == {'truth': [str(START_NS)], 'estimate': []}
    assert any('1 true image has no partner' in note for note in content['notes'])
    assert_figures(content)
    assert 'no image pairs by --pair stamp' in failure(
        'eval', 'depth', f'{bag}#/truth/front/depth', stream, '--pair', 'stamp',
        '--max-difference', '0.001',
    )  # fmt: skip


def image_message(seed: int, kind: str) -> StampedMessage:
    """Return a depth image as drivers and image_transport send it."""
    types, stamp = STORE.types, START_NS + seed * STEP_NS
    time = types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9)
    header = types['std_msgs/msg/Header'](stamp=time, frame_id='front')
    steps = np.round(true_depth(seed) * 1000).astype(np.uint16)
    if kind == 'raw':
        # Big-endian, and rows with bytes behind their end.
        rows = np.concatenate([steps, np.full((SHAPE[0], 3), 9, np.uint16)], axis=1)
        message = types['sensor_msgs/msg/Image'](
            header=header, height=SHAPE[0], width=SHAPE[1], encoding='16UC1', is_bigendian=1,
            step=2 * rows.shape[1], data=np.frombuffer(rows.astype('>u2').tobytes(), np.uint8),
        )  # fmt: skip
    else:
        a, b = 5000.0, 100.0
        if kind == '32FC1':
            # Quantised inverse depth: a / depth + b.
            known = steps > 0
            steps[known] = np.round(a / true_depth(seed)[known] + b).astype(np.uint16)
        packed = cv2.imencode('.png', steps)[1].tobytes()
        data = struct.pack('<iff', 0, a, b) + packed
        message = types['sensor_msgs/msg/CompressedImage'](
            header=header,
            format=f'{kind}; compressedDepth png',
            data=np.frombuffer(data, np.uint8),
        )
    name = message.__msgtype__
    return StampedMessage('/depth', name, stamp, bytes(STORE.serialize_cdr(message, name)))


@pytest.mark.parametrize(('kind', 'tolerance'), [('raw', 0), ('16UC1', 0), ('32FC1', 1e-3)])
def test_depth_in_bags_is_read_as_it_was_sent(tmp_path: Path, kind: str, tolerance: float) -> None:
    bag = write_bag(tmp_path / 'drive', [image_message(seed, kind) for seed in range(2)])
    for seed in range(2):
        np.save(tmp_path / f'x_{START_NS + seed * STEP_NS}.npy', true_depth(seed))
    (tmp_path / 'files').mkdir()
    for file in tmp_path.glob('*.npy'):
        file.rename(tmp_path / 'files' / file.name)
    content = da3_json('eval', 'depth', tmp_path / 'files', f'{bag}#/depth')
    assert (content['pairs'], content['paired_by']) == (2, 'stamp')
    assert content['pooled']['as_is']['abs_rel'] <= max(tolerance, 1e-6)
    known = sum(np.count_nonzero(true_depth(seed)) for seed in range(2))
    assert content['pooled']['as_is']['pixels'] == known


def test_a_batch_of_single_images_pairs_by_their_names(tmp_path: Path, truth: Path) -> None:
    for seed, name in enumerate(NAMES):
        scene = tmp_path / name
        (scene / 'exports' / 'npz').mkdir(parents=True)
        (scene / 'da3.json').write_text('{}')
        np.savez(scene / 'exports' / 'npz' / 'results.npz', depth=estimated(seed)[None])
    content = da3_json('eval', 'depth', truth, tmp_path)
    assert content['paired_by'] == 'name'
    assert_figures(content)


def test_a_dataset_pairs_by_the_names_of_its_images(tmp_path: Path, npy: Path) -> None:
    frames = []
    for seed, name in enumerate(NAMES):
        write_png(tmp_path / 'depth' / f'{name}.png', true_depth(seed))
        (tmp_path / 'images').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'images' / f'{name}.png'), np.zeros((*SHAPE, 3), np.uint8))
        frames.append({'image': f'images/{name}.png', 'depth': f'depth/{name}.png'})
    (tmp_path / 'cameras.json').write_text(json.dumps({'metric': True, 'frames': frames}))
    content = da3_json('eval', 'depth', tmp_path, npy)
    assert content['paired_by'] == 'name'
    assert_figures(content)


def test_numbers_pair_only_where_all_have_a_partner(tmp_path: Path, truth: Path) -> None:
    few, all_there = tmp_path / 'few', tmp_path / 'all'
    for folder in (few, all_there):
        folder.mkdir()
    for seed in range(3):
        # The count of an export is no number of an image: 7 and 14 have no partner here.
        np.save(few / f'{seed:04d}.npy', estimated(seed))
        np.save(all_there / f'frame_{7 * seed}.npy', estimated(seed))
    assert da3_json('eval', 'depth', truth, few)['paired_by'] == 'place'
    content = da3_json('eval', 'depth', truth, all_there)
    assert content['paired_by'] == 'number'
    assert_figures(content)
    (few / '0002.npy').unlink()
    said = failure('eval', 'depth', truth, few)
    assert 'has 3 depth images of 3 (a_000000, a_000007, ...)' in said
    assert 'has 2 depth images of 2 (0000, 0001, ...)' in said
    assert da3_json('eval', 'depth', truth, few, '--pair', 'number')['pairs'] == 1


def test_estimates_of_another_size_are_brought_to_the_truth(tmp_path: Path) -> None:
    """Of a plane that is seen at a slant nothing is lost: its inverse depth is linear."""
    v = np.arange(48)[:, None] + np.zeros((48, 64))
    plane = (8 / (1 + 0.05 * v)).astype(np.float32)
    coarse = (8 / (1 + 0.05 * (2 * np.arange(24)[:, None] + 0.5 + np.zeros((24, 32))))).astype(
        'f4'
    )
    np.save(tmp_path / 'truth.npy', plane)
    np.save(tmp_path / 'coarse.npy', coarse)
    content = da3_json('eval', 'depth', tmp_path / 'truth.npy', tmp_path / 'coarse.npy')
    assert content['pooled']['as_is']['abs_rel'] < 1e-5
    assert content['pooled']['as_is']['pixels'] == 48 * 64
    assert any('32x24 were brought to the 64x48 pixels' in note for note in content['notes'])
    np.save(tmp_path / 'other.npy', coarse[:12])
    said = failure('eval', 'depth', tmp_path / 'truth.npy', tmp_path / 'other.npy')
    assert 'the truth is 64x48 and the estimate 32x12' in said


def test_stated_spreads_lie_beside_depth_or_in_a_folder(tmp_path: Path, truth: Path) -> None:
    rng = np.random.default_rng(5)
    frames, spreads = tmp_path / 'frames', tmp_path / 'spreads'
    frames.mkdir()
    spreads.mkdir()
    for seed, name in enumerate(NAMES):
        depth = true_depth(seed)
        sigma = (0.05 * depth).astype(np.float32)
        noise = sigma * rng.standard_normal(SHAPE)
        np.savez(frames / f'{name}.npz', depth=(depth + noise).astype(np.float32), spread=sigma)
        np.save(spreads / f'{name}.npy', 2 * sigma)
    content = da3_json('eval', 'depth', truth, frames, '--sigma', 'spread')
    assert_described(content)
    honest = content['calibration']
    assert honest['normal_shares'] == pytest.approx(list(NORMAL_SHARES))
    assert honest['as_is']['within'] == pytest.approx(list(NORMAL_SHARES), abs=0.03)
    assert honest['as_is']['z_rms'] == pytest.approx(1, abs=0.05)
    shy = da3_json('eval', 'depth', truth, frames, '--sigma', spreads)['calibration']
    assert shy['as_is']['z_rms'] == pytest.approx(honest['as_is']['z_rms'] / 2)
    assert shy['as_is']['sharpness'] == pytest.approx(2 * honest['as_is']['sharpness'])
    said = failure('eval', 'depth', truth, frames, '--sigma', 'nothing')
    assert 'beside the first lies depth, spread' in said
    (spreads / f'{NAMES[1]}.npy').unlink()
    assert f'there is none for {NAMES[1]}' in failure(
        'eval', 'depth', truth, frames, '--sigma', spreads
    )


def test_pictures_show_what_there_is(tmp_path: Path, truth: Path) -> None:
    pytest.importorskip('matplotlib')
    frames = tmp_path / 'frames'
    frames.mkdir()
    for seed, name in enumerate(NAMES):
        sigma = np.full(SHAPE, 0.1, np.float32)
        np.savez(frames / f'{name}.npz', depth=estimated(seed), sigma=sigma, conf=1 + sigma)
    plots = tmp_path / 'plots'
    da3('eval', 'depth', truth, frames, '--sigma', 'sigma', '--plots', plots)
    assert {path.name for path in plots.glob('*.png')} == {
        'error_by_range.png', 'error_by_image.png', 'stated_spread.png',
        'error_by_confidence.png',
    }  # fmt: skip
    for path in plots.glob('*.png'):
        drawn = cv2.imread(str(path))
        assert drawn is not None
        assert drawn.std() > 5


def test_what_is_no_depth_is_refused_by_name(tmp_path: Path, truth: Path, npy: Path) -> None:
    colour, dark = tmp_path / 'colour', tmp_path / 'dark'
    colour.mkdir()
    cv2.imwrite(str(colour / f'{NAMES[0]}.png'), np.zeros((*SHAPE, 3), np.uint8))
    write_png(dark / f'{NAMES[0]}.png', np.zeros(SHAPE))
    (tmp_path / 'empty').mkdir()
    np.savez(tmp_path / 'results.npz', image=np.zeros((1, 4, 5, 3), np.uint8))
    (tmp_path / 'cut.npy').write_bytes(b'\x93NUMPY')
    for source, reason in (
        (colour, 'expected one channel of 16 bits, got RGB'),
        (dark, 'no pixel is known in both images of any of 1 pairs'),
        (tmp_path / 'empty', 'expected depth as .png, .npy, .npz files'),
        (tmp_path / 'nowhere', 'there is none'),
        (tmp_path / 'results.npz', 'expected depth among its arrays, got image'),
        (tmp_path / 'cut.npy', 'npy'),
    ):
        assert reason in failure('eval', 'depth', truth, source, '--pair', 'auto'), source
    for ranges in ('', '2', '4,2', 'near,far', '-1,2'):
        result = invoke('eval', 'depth', truth, npy, f'--ranges={ranges}')
        assert result.exit_code == 2
        assert '--ranges' in result.stderr
