"""The single-view network, sky and quantiles."""

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.errors import ModelError
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.plain import sampling
from da3_ros.model.sampling import SeededPixelSampler, quantile
from da3_ros.model.single_view import SingleViewNetwork
from da3_ros.model.sky import fill_sky
from helpers import tiny
from tools.parity.synthetic_weights import synthetic_network


@pytest.fixture(scope='module')
def network() -> SingleViewNetwork:
    return synthetic_network(tiny.SINGLE_VIEW)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 3, 28, 42, generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def test_views_see_nothing_of_one_another(network: SingleViewNetwork, images: Tensor) -> None:
    output = network(images, options=ForwardOptions(export_layers=(5, 1)))
    assert output.depth.shape == output.sky.shape == (2, 3, 28, 42)
    assert (output.depth_conf, output.extrinsics, output.intrinsics) == (None, None, None)
    assert list(output.aux) == ['feat_layer_5', 'feat_layer_1']
    assert output.aux['feat_layer_5'].shape == (2, 3, 2, 3, 48)
    alone = network(images[1:, 2:], options=ForwardOptions(export_layers=(5,)))
    torch.testing.assert_close(alone.sky, output.sky[1:, 2:])
    features = output.aux['feat_layer_5'][1:, 2:]
    torch.testing.assert_close(alone.aux['feat_layer_5'], features, rtol=1e-4, atol=1e-5)
    unfilled = torch.unflatten(network.decode(network.encode(images)).depth, 0, (2, 3))
    torch.testing.assert_close(fill_sky(unfilled, output.sky), output.depth)


@torch.inference_mode()
@pytest.mark.parametrize('chunk', [1, 4, 100])
def test_chunks_and_batches_change_nothing(
    network: SingleViewNetwork, images: Tensor, chunk: int
) -> None:
    whole = network(images)
    torch.testing.assert_close(
        network(images, options=ForwardOptions(chunk=chunk)).depth, whole.depth
    )
    torch.testing.assert_close(network(images[:1]).depth, whole.depth[:1])


def test_bad_requests_are_refused(network: SingleViewNetwork, images: Tensor) -> None:
    for wrong in (images[0], images[:, :0], images[:, :, :2]):
        with pytest.raises(ModelError, match=r'\(B, V, 3, H, W\)'):
            network(wrong)
    with pytest.raises(ModelError, match='multiples of 14'):
        network(images[..., :-1])
    with pytest.raises(ModelError, match=r'layers \[6\] do not exist'):
        network(images, options=ForwardOptions(export_layers=(6,)))


def test_sky_gets_the_far_quantile_of_its_scene() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand(2, 3, 10, 12, generator=generator)
    sky = torch.rand(2, 3, 10, 12, generator=generator)
    filled = fill_sky(depth, sky)
    for scene in range(2):
        is_sky = sky[scene].numpy() >= 0.3
        expected = depth[scene].numpy().copy()
        expected[is_sky] = np.quantile(expected[~is_sky].astype(np.float64), 0.99)
        np.testing.assert_allclose(filled[scene], expected, rtol=1e-6)


@pytest.mark.parametrize('count', [0, 10, 11, 120 - 11, 120 - 10, 120])
def test_ten_pixels_of_sky_or_of_ground_mean_nothing(count: int) -> None:
    depth = torch.linspace(1, 2, 120).reshape(1, 1, 10, 12)
    sky = (torch.arange(120) < count).float().reshape(depth.shape)
    changed = not torch.equal(fill_sky(depth, sky), depth)
    assert changed == (10 < count < 110)


class Recorded:
    """Sampler that says how often it was asked, and always draws the first pixels."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def repeated(self, count: int, size: int) -> Tensor:
        self.asked.append('repeated')
        return torch.arange(size)

    def distinct(self, count: int, size: int) -> Tensor:
        self.asked.append('distinct')
        return torch.arange(size)


def test_only_large_images_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, 'MAX_PIXELS', 100)
    values, sampler = torch.arange(101.0), Recorded()
    assert quantile(values[:100], 1.0, sampler) == 99
    assert sampler.asked == []
    assert quantile(values, 1.0, sampler) == 99
    assert quantile(values.flip(0), 0.5, sampler, with_replacement=False) == 50.5
    assert sampler.asked == ['repeated', 'distinct']


def test_samples_are_the_same_twice_and_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    values = torch.rand(300_000, generator=torch.Generator().manual_seed(1))
    first, second = (quantile(values, 0.99, SeededPixelSampler()) for _ in range(2))
    assert first == second
    assert first == pytest.approx(0.99, abs=2e-3)
    chosen = SeededPixelSampler(4).distinct(1000, 1000)
    assert len(set(chosen.tolist())) == 1000
    assert torch.equal(torch.get_rng_state(), state)
