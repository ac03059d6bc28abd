"""What the options build."""

from typing import get_args

import numpy as np
import pytest

from da3_ros.assembly import build_estimator, build_pipeline
from da3_ros.config import ATTENTIONS, PRECISIONS, OptionValue, from_flat
from da3_ros.errors import CheckpointError, ConfigError, ModelError
from da3_ros.geometry.se3 import invert
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.random_weights import random_network
from da3_ros.model.arithmetic import AttentionKind, Precision
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import make_world
from da3_ros.types import RigCalibration
from helpers.tiny import SINGLE_VIEW


def test_model_names_choose_the_estimator() -> None:
    assert isinstance(build_estimator(from_flat({'model': 'truth'})), TruthEstimator)
    network = build_estimator(from_flat({'model': 'random:da3-small', 'device': 'cpu'}))
    assert isinstance(network, Da3Estimator)
    assert network.model.is_random


def test_a_model_that_is_nowhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(CheckpointError, match='no-such-owner/no-such-model'):
        build_estimator(from_flat({'model': 'no-such-owner/no-such-model'}))


def test_a_device_that_is_not_there_is_named() -> None:
    torch = pytest.importorskip('torch')
    if torch.cuda.is_available():
        pytest.skip('there is a CUDA device here')
    with pytest.raises(ConfigError, match="device 'cuda:0'"):
        build_estimator(from_flat({'model': 'random:da3-small', 'device': 'cuda:0'}))


def test_frames_pass_all_parts_with_exact_geometry() -> None:
    """Options to posed sets, offline: the parts fit together as the node uses them."""
    world = make_world()
    options = from_flat(
        {'model': 'truth', 'cameras': tuple(world.rig.cameras), 'window': 2, 'scene_sets': 3}
    )
    rig: RigCalibration = world.rig.calibration
    pipeline = build_pipeline(options, rig, build_estimator(options))
    for index in range(5):
        stamp_ns = START_NS + index * 200_000_000
        for camera in world.rig.cameras:
            for frame_set in pipeline.synchronizer.push(world.frame(camera, stamp_ns)):
                window = pipeline.windower.push(frame_set)
                assert window is not None
                for posed in pipeline.reconstructor.process(window).new_sets:
                    pipeline.scene.add(posed)
    scene = pipeline.scene.snapshot()
    assert [s.stamp_ns for s in scene] == [START_NS + i * 200_000_000 for i in (2, 3, 4)]
    first, last = (s.world_from_base for s in (scene[0], scene[-1]))
    true_first, true_last = (world.world_from_base(s.stamp_ns) for s in (scene[0], scene[-1]))
    np.testing.assert_allclose(invert(first) @ last, invert(true_first) @ true_last, atol=1e-6)


@pytest.mark.parametrize('values', [{'window': 2}, {'window': 1, 'cameras': ('a', 'b')}])
def test_a_network_without_poses_refuses_windows_of_several_views(
    values: dict[str, OptionValue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built from a tiny network: loading the real one to refuse it would take gigabytes."""
    single = DepthAnything3(network=random_network(SINGLE_VIEW, seed=0))
    monkeypatch.setattr(DepthAnything3, 'from_pretrained', lambda source, **options: single)
    with pytest.raises(ConfigError, match='predicts no poses'):
        build_estimator(from_flat({'model': 'da3mono-large', 'device': 'cpu', **values}))


def test_choices_of_the_options_are_those_of_the_network() -> None:
    assert get_args(Precision) == PRECISIONS
    assert get_args(AttentionKind) == ATTENTIONS


def test_precision_and_attention_reach_the_network() -> None:
    values = {'model': 'random:da3-small', 'device': 'cpu'}
    chosen = build_estimator(from_flat({**values, 'precision': 'bf16', 'attention': 'sdpa'}))
    assert isinstance(chosen, Da3Estimator)
    assert chosen.model.precision == 'bf16'
    assert chosen.model.arithmetic.attention == 'sdpa'
    with pytest.raises(ModelError, match='fp16'):
        build_estimator(from_flat({**values, 'precision': 'fp16'}))
