"""What NumPy computes for runtimes without torch is what torch computes."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch
from torch import Tensor

from da3_ros.model import pose_encoding, reference_view, sampling, sky
from da3_ros.model.plain import pose_encoding as plain_encoding
from da3_ros.model.plain import reference_view as plain_reference
from da3_ros.model.plain import sampling as plain_sampling
from da3_ros.model.plain import sky as plain_sky
from da3_ros.options.choices import REFERENCE_STRATEGIES
from tools.parity.goldens import load_golden

SIZE = (80, 120)
BOUND = 1e-6


def tokens(views: int, seed: int) -> Tensor:
    """Return class tokens (V, C) that are as alike as those of one scene."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(1, 384, generator=generator)
    return common + 0.3 * torch.randn(views, 384, generator=generator)


@pytest.mark.parametrize('strategy', REFERENCE_STRATEGIES)
def test_the_same_reference_is_chosen(strategy: str) -> None:
    chosen = set()
    for seed in range(40):
        views = 3 + seed % 9
        of_window = tokens(views, seed)
        expected = int(reference_view.select_reference(of_window[None], strategy))
        got = plain_reference.select_reference(of_window.numpy(), strategy)
        if strategy == 'saddle_sim_range':
            # The two most similar views tie, and rounding decides between them.
            unit = of_window / of_window.norm(dim=-1, keepdim=True)
            alike = (unit @ unit.T - torch.eye(views)).numpy()
            spreads = alike.max(axis=1) - alike.min(axis=1)
            assert spreads[got] == pytest.approx(spreads[expected], abs=BOUND)
        else:
            assert got == expected
        chosen.add(got)
    assert (len(chosen) > 2) == (strategy != 'first')


@pytest.mark.parametrize('strategy', REFERENCE_STRATEGIES)
@pytest.mark.parametrize('views', [1, 2])
def test_of_two_views_the_first_is_the_reference(strategy: str, views: int) -> None:
    assert plain_reference.select_reference(tokens(views, 3).numpy(), strategy) == 0


def test_unknown_strategies_are_refused() -> None:
    with pytest.raises(ValueError, match='saddle_balanced'):
        plain_reference.select_reference(tokens(4, 0).numpy(), 'best')


def cameras(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return camera_from_world (N, 4, 4), some of them half turns, and K (N, 3, 3)."""
    rng = np.random.default_rng(2)
    vectors = rng.normal(0, 1.5, (count, 3))
    vectors[:3] = np.eye(3) * np.pi
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    extrinsics[:, :3, :3] = Rotation.from_rotvec(vectors).as_matrix()
    extrinsics[:, :3, 3] = rng.normal(size=(count, 3))
    intrinsics = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
    intrinsics[:, (0, 1), (0, 1)] = rng.uniform(40, 200, (count, 2))
    intrinsics[:, :2, 2] = (60, 40)
    return extrinsics, intrinsics


@pytest.mark.parametrize('rows', [3, 4])
def test_cameras_are_encoded_alike(rows: int) -> None:
    extrinsics, intrinsics = cameras(50)
    given = extrinsics[:, :rows]
    got = plain_encoding.encode_cameras(given, intrinsics, SIZE)
    expected = pose_encoding.encode_cameras(
        torch.from_numpy(given), torch.from_numpy(intrinsics), SIZE
    )
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=BOUND)


def test_encoding_agrees_with_the_reference() -> None:
    golden = load_golden('unit__poseenc')
    got = plain_encoding.encode_cameras(golden['w2c'], golden['K'], SIZE)
    np.testing.assert_allclose(got[None], golden['pose_enc_of_c2w'], rtol=BOUND, atol=BOUND)


def test_cameras_are_decoded_alike() -> None:
    encoding = np.random.default_rng(4).normal(size=(2, 25, 9)).astype(np.float32)
    # The last layer of the network lets no negative field of view through, but zero.
    encoding[..., 7:] = np.maximum(encoding[..., 7:], 0)
    got = plain_encoding.decode_cameras(encoding, SIZE)
    expected = pose_encoding.decode_cameras(torch.from_numpy(encoding), SIZE)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=BOUND, atol=BOUND)


def test_small_and_large_scenes_get_the_same_sky() -> None:
    rng = np.random.default_rng(5)
    for shape in [(2, 9, 10), (3, 250, 260)]:
        depth = rng.uniform(1, 9, shape).astype(np.float32)
        score = rng.uniform(0, 0.6, shape).astype(np.float32)
        expected = sky.fill_sky(torch.from_numpy(depth)[None], torch.from_numpy(score)[None])[0]
        got = plain_sky.fill_sky(depth, score)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=BOUND)
    assert (score < plain_sky.SKY_SCORE).sum() < depth.size < 2 * plain_sampling.MAX_PIXELS


@pytest.mark.parametrize('count', [0, 10, 11, 120 - 11, 120 - 10, 120])
def test_ten_pixels_of_sky_or_of_ground_mean_nothing(count: int) -> None:
    depth = np.linspace(1, 2, 120, dtype=np.float32).reshape(1, 10, 12)
    score = (np.arange(120) < count).astype(np.float32).reshape(depth.shape)
    changed = not np.array_equal(plain_sky.fill_sky(depth, score), depth)
    assert changed == (10 < count < 110)


def test_the_same_pixels_are_drawn() -> None:
    ours, theirs = plain_sampling.SeededPixelSampler(7), sampling.SeededPixelSampler(7)
    for _ in range(2):
        np.testing.assert_array_equal(ours.repeated(500, 90), theirs.repeated(500, 90))
        np.testing.assert_array_equal(ours.distinct(500, 90), theirs.distinct(500, 90))
    drawn = ours.distinct(1000, 1000)
    assert sorted(drawn) == list(range(1000))
    assert plain_sampling.SeededPixelSampler(8).repeated(500, 90).tolist() != (
        plain_sampling.SeededPixelSampler(7).repeated(500, 90).tolist()
    )


@pytest.mark.parametrize('with_replacement', [True, False])
@pytest.mark.parametrize('count', [1, 1000, 250_000])
def test_quantiles_are_alike(count: int, with_replacement: bool) -> None:
    values = np.random.default_rng(6).gamma(2, 3, count).astype(np.float32)
    for q in (0.5, 0.99):
        got = plain_sampling.quantile(
            values, q, plain_sampling.SeededPixelSampler(), with_replacement=with_replacement
        )
        expected = sampling.quantile(
            torch.from_numpy(values),
            q,
            sampling.SeededPixelSampler(),
            with_replacement=with_replacement,
        )
        assert got == pytest.approx(float(expected), rel=BOUND)
