"""What the options build: the estimator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from da3_ros.errors import CheckpointError, ConfigError, ModelError
from da3_ros.geometry.camera import ImageSize
from da3_ros.inference import hub
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.hub import BUNDLED_FOLDER
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.stored_graphs import StoredGraphs
from da3_ros.inference.runtimes.torch_behind import TorchBehind
from da3_ros.model.presets import CAUTIONS
from da3_ros.options import OptionValue, from_flat
from da3_ros.pipeline.estimators import build_estimator, own_caution, own_process_res
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.types import FrameSet, PosePrior, Window
from helpers.depths import depth_of
from helpers.tiny import ANY_VIEW, SINGLE_VIEW


def test_model_names_choose_the_estimator() -> None:
    assert isinstance(build_estimator(from_flat({'model': 'truth'})), TruthEstimator)
    network = build_estimator(from_flat({'model': 'random:da3-small', 'device': 'cpu'}))
    assert isinstance(network, Da3Estimator)
    assert network.model.is_random


def test_a_model_that_is_nowhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(CheckpointError, match='no-such-owner/no-such-model'):
        build_estimator(from_flat({'model': 'no-such-owner/no-such-model'}))


def test_whoever_wants_the_same_bits_every_time_waits_for_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('torch', 'openvino', 'onnx', 'onnxscript'):
        pytest.importorskip(name, reason=f'{name} makes or computes graphs')
    monkeypatch.setenv('DA3_CACHE', str(tmp_path))
    options = from_flat({'model': 'da3-nano', 'runtime': 'openvino'})
    for beside, kind in ((True, TorchBehind), (False, StoredGraphs)):
        estimator = build_estimator(options, beside=beside)
        assert isinstance(estimator, Da3Estimator)
        assert isinstance(estimator.network, kind)


def test_a_device_that_is_not_there_is_named() -> None:
    torch = pytest.importorskip('torch')
    if torch.cuda.is_available():
        pytest.skip('there is a CUDA device here')
    with pytest.raises(ConfigError, match="device 'cuda:0'"):
        build_estimator(from_flat({'model': 'random:da3-small', 'device': 'cuda:0'}))


@pytest.mark.parametrize('values', [{'window': 2}, {'window': 1, 'cameras': ('a', 'b')}])
def test_a_network_without_poses_refuses_windows_of_several_views(
    values: dict[str, OptionValue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built from a tiny network: loading the real one to refuse it would take gigabytes."""
    single = DepthAnything3(network=random_network(SINGLE_VIEW, seed=0))
    monkeypatch.setattr(DepthAnything3, 'from_pretrained', lambda source, **options: single)
    with pytest.raises(ConfigError, match='predicts no poses'):
        build_estimator(from_flat({'model': 'da3mono-large', 'device': 'cpu', **values}))
    # A metric one may stand where an odometry says.
    values = {**values, 'prior_frame': 'wheels', 'model': 'da3metric-large', 'device': 'cpu'}
    build_estimator(from_flat(values))
    with pytest.raises(ConfigError, match='predicts no poses'):
        build_estimator(from_flat({**values, 'conditioning': 'off'}))


@pytest.mark.parametrize('canonical_focal_px', [300.0, None])
def test_odometry_is_offered_to_networks_that_it_would_help(
    canonical_focal_px: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a focal length that depth in metres belongs to, views have no common unit."""
    config = replace(SINGLE_VIEW, canonical_focal_px=canonical_focal_px)
    single = DepthAnything3(network=random_network(config, seed=0))
    monkeypatch.setattr(DepthAnything3, 'from_pretrained', lambda source, **options: single)
    values: dict[str, OptionValue] = {
        'model': 'da3metric-large',
        'device': 'cpu',
        'window': 2,
    }
    with pytest.raises(ConfigError, match='predicts no poses') as caught:
        build_estimator(from_flat(values))
    assert ('prior_frame' in str(caught.value)) == (canonical_focal_px is not None)
    if canonical_focal_px is None:
        with pytest.raises(ConfigError, match='predicts no poses'):
            build_estimator(from_flat({**values, 'prior_frame': 'wheels'}))


@pytest.mark.parametrize(('revision', 'asked'), [('', None), ('v2', 'v2')])
def test_one_view_suits_every_network_and_no_revision_means_the_newest(
    revision: str, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = DepthAnything3(network=random_network(SINGLE_VIEW, seed=0))
    revisions: list[object] = []

    def load(source: str, **options: object) -> DepthAnything3:
        revisions.append(options['revision'])
        return single

    monkeypatch.setattr(DepthAnything3, 'from_pretrained', load)
    options = from_flat({
        'model': 'da3metric-large', 'device': 'cpu', 'window': 1, 'cameras': ('front',),
        'revision': revision,
    })  # fmt: skip
    assert isinstance(build_estimator(options), Da3Estimator)
    assert revisions == [asked]


def test_conditioning_reaches_the_estimator_unless_it_is_off() -> None:
    world = make_family_world()
    frame = world.frame('front', START_NS)
    prior = PosePrior(odometry_from_camera={'front': np.eye(4)})
    window = Window(0, (FrameSet(START_NS, (frame,), prior=prior),), 1)
    network: dict[str, OptionValue] = {'model': 'random:da3-small', 'device': 'cpu'}
    for model in ({'model': 'truth'}, {**network, 'process_res': 28}):
        for choice, expected in (('auto', 'pose'), ('off', 'none')):
            options = from_flat({**model, 'conditioning': choice})
            assert build_estimator(options).estimate(window).conditioning == expected


def test_precision_and_attention_reach_the_network() -> None:
    values = {'model': 'random:da3-small', 'device': 'cpu'}
    chosen = build_estimator(from_flat({**values, 'precision': 'bf16', 'attention': 'sdpa'}))
    assert isinstance(chosen, Da3Estimator)
    assert chosen.model.precision == 'bf16'
    assert chosen.model.arithmetic.attention == 'sdpa'
    with pytest.raises(ModelError, match='fp16'):
        build_estimator(from_flat({**values, 'precision': 'fp16'}))


def test_the_test_network_is_known_by_name_and_by_folder(tmp_path: Path) -> None:
    caution = CAUTIONS['da3-nano']
    assert own_caution('da3-nano') == own_caution(str(BUNDLED_FOLDER / 'da3_nano')) == caution
    others = ('da3-small', 'da3-large-1.1', 'truth', str(tmp_path / 'nowhere'))
    assert all(own_caution(name) is None for name in others)


def test_random_weights_are_known_by_their_name_and_said_by_the_estimator() -> None:
    caution = own_caution('random:da3-nano')
    assert caution is not None
    assert caution.brief == 'random weights: output means nothing'
    built = build_estimator(from_flat({'model': 'random:da3-nano', 'device': 'cpu'}))
    assert isinstance(built, Da3Estimator)
    assert built.caution == caution


def test_asking_about_a_model_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def look(source: str, options: hub.HubOptions) -> None:
        asked.append(options.local_files_only)
        raise CheckpointError(f'{source} is not here')

    monkeypatch.setattr(hub, 'find_checkpoint', look)
    monkeypatch.setattr(hub, 'find_config', look)
    assert own_caution('someone/some-model') is None
    assert own_process_res('someone/some-other-model') == 504
    assert asked == [True, True]


def test_no_size_of_images_means_the_models_own(tmp_path: Path) -> None:
    assert own_process_res('da3-nano') == 98
    assert own_process_res('random:da3-nano') == 98
    assert {own_process_res(name) for name in ('da3-small', 'da3-large-1.1', 'truth')} == {504}
    folder = tmp_path / 'mine'
    DepthAnything3(network=random_network(replace(ANY_VIEW, process_res=56), 0)).save_pretrained(
        folder
    )
    assert own_process_res(str(folder)) == 56
    world = make_family_world(size=ImageSize(40, 56))
    frames = FrameSet(START_NS, (world.frame('front', START_NS),))
    for values, width in (({}, 56), ({'process_res': 28}, 28)):
        options = from_flat({'model': str(folder), 'cameras': ('front',), **values})
        said = build_estimator(options).estimate(Window(0, (frames,), 1))
        assert depth_of(said.views[0]).shape[1] == width
