"""Checkpoints: where they are found, what is refused and how it is said."""

from collections.abc import Callable
import json
import logging
from pathlib import Path
import pickle

import pytest
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor

from da3_ros.errors import CheckpointError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import load_network, save_checkpoint
from da3_ros.inference.hub import UPSTREAM, HubOptions, find_checkpoint, repository_of
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.goldens import read_manifest

LEVEL = 'model.head.scratch.output_conv2_aux.{}.2.{}'
REPOSITORY = 'depth-anything/DA3-SMALL'
COMMIT = '0123456789abcdef0123456789abcdef01234567'

Tensors = dict[str, Tensor]


@pytest.fixture(scope='session')
def saved(tmp_path_factory: pytest.TempPathFactory, model: DepthAnything3) -> Path:
    """Return a folder with da3-small's checkpoint."""
    folder = tmp_path_factory.mktemp('da3 small')
    save_checkpoint(model.model, folder)
    return folder


def variant(saved: Path, folder: Path, change: Callable[[Tensors], object]) -> Path:
    """Write a changed copy of a checkpoint."""
    tensors = load_file(saved / 'model.safetensors')
    change(tensors)
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, folder / 'model.safetensors'
    )
    (folder / 'config.json').write_text((saved / 'config.json').read_text())
    return folder


def in_cache(saved: Path, cache: Path, revision: str = 'main') -> None:
    """Lay a checkpoint out as the hub's client does."""
    repository = cache / f'models--{REPOSITORY.replace("/", "--")}'
    snapshot = repository / 'snapshots' / COMMIT
    snapshot.mkdir(parents=True)
    for name in ('config.json', 'model.safetensors'):
        (snapshot / name).symlink_to(saved / name)
    (repository / 'refs').mkdir()
    (repository / 'refs' / revision).write_text(COMMIT)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a hub that is not there: a closed port of this machine."""
    monkeypatch.setenv('HF_ENDPOINT', 'http://127.0.0.1:9')
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)


def test_saved_names_and_shapes_are_the_published_ones(saved: Path) -> None:
    tensors = load_file(saved / 'model.safetensors')
    assert {name: tuple(value.shape) for name, value in tensors.items()} == read_manifest(
        'da3-small'
    )


def test_saving_what_was_loaded_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    model = DepthAnything3.from_pretrained(saved)
    assert model.weights == str(saved)
    assert not model.is_random
    model.save_pretrained(tmp_path / 'again')
    for name in ('config.json', 'model.safetensors'):
        assert (tmp_path / 'again' / name).read_bytes() == (saved / name).read_bytes()


def test_a_loaded_checkpoint_may_be_saved_over_itself(saved: Path, tmp_path: Path) -> None:
    folder = variant(saved, tmp_path, lambda tensors: None)
    before = (folder / 'model.safetensors').stat().st_size
    DepthAnything3.from_pretrained(folder).save_pretrained(folder)
    assert (folder / 'model.safetensors').stat().st_size == before
    assert sorted(path.name for path in folder.iterdir()) == ['config.json', 'model.safetensors']


def test_loaded_model_predicts_the_same(saved: Path, model: DepthAnything3) -> None:
    images = torch.linspace(-1, 1, 2 * 3 * 28 * 42).reshape(1, 2, 3, 28, 42)
    loaded = DepthAnything3.from_pretrained(str(saved))
    assert_equal_to_rounding(loaded(images).depth, model(images).depth, DEEP)


def test_parameters_are_mapped_from_the_file(saved: Path) -> None:
    network = load_network(saved)
    value = network.get_parameter('backbone.pretrained.blocks.0.mlp.fc1.weight')
    maps = Path('/proc/self/maps')
    if not maps.exists():
        pytest.skip('needs the process file system of Linux')
    address = value.data_ptr()
    for line in maps.read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split('-'))
        if start <= address < end:
            assert line.endswith('model.safetensors')
            return
    pytest.fail('the address belongs to no mapping')


@pytest.mark.parametrize('aliases', ['present', 'only'])
def test_tied_tensors_may_be_stored_under_their_aliases(
    saved: Path, tmp_path: Path, model: DepthAnything3, aliases: str
) -> None:
    def change(tensors: Tensors) -> None:
        for leaf in ('weight', 'bias'):
            value = tensors[LEVEL.format(0, leaf)]
            for level in (1, 2, 3):
                tensors[LEVEL.format(level, leaf)] = value.clone()
            if aliases == 'only':
                del tensors[LEVEL.format(0, leaf)]

    network = load_network(variant(saved, tmp_path, change))
    name = 'head.scratch.output_conv2_aux.3.2.weight'
    assert torch.equal(network.get_parameter(name), model.model.get_parameter(name))


def test_half_precision_files_are_read_as_float32(saved: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        tensors.update({name: value.half() for name, value in tensors.items()})

    network = load_network(variant(saved, tmp_path, change))
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_missing_extra_and_misshaped_tensors_are_named(saved: Path, tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        del tensors['model.cam_dec.fc_t.bias']
        tensors['model.cam_dec.fc_t.shift'] = torch.zeros(3)
        tensors['model.cam_dec.fc_qvec.bias'] = torch.zeros(5)
        tensors['model.cam_dec.fc_fov.0.bias'] = torch.zeros(2, dtype=torch.int64)

    with pytest.raises(CheckpointError) as caught:
        load_network(variant(saved, tmp_path, change))
    message = str(caught.value)
    assert '1 tensors missing: model.cam_dec.fc_t.bias' in message
    assert '1 tensors unexpected: model.cam_dec.fc_t.shift' in message
    assert 'model.cam_dec.fc_qvec.bias (expected (4,), got (5,))' in message
    assert 'not floating point: model.cam_dec.fc_fov.0.bias' in message


def test_truncated_files_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = variant(saved, tmp_path, lambda tensors: None)
    weights = folder / 'model.safetensors'
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r'^weights .*: cannot be read'):
        load_network(folder)


def test_pickles_are_never_read(tmp_path: Path) -> None:
    (tmp_path / 'config.json').write_text('{"model_name": "da3-small"}')
    (tmp_path / 'pytorch_model.bin').write_bytes(pickle.dumps({}))
    with pytest.raises(CheckpointError, match=r'pytorch_model\.bin is not read.*safetensors'):
        load_network(tmp_path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"model_name": "da3-huge"}', "got 'da3-huge'"),
        ('{}', 'got None'),
        ('[1]', 'expected a mapping, got list'),
        ('{', 'configuration .*: cannot be read'),
    ],
)
def test_bad_configurations_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / 'config.json').write_text(content)
    (tmp_path / 'model.safetensors').write_bytes(b'')
    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path)


def test_official_configurations_with_an_embedded_architecture_are_read(
    saved: Path, tmp_path: Path
) -> None:
    folder = variant(saved, tmp_path, lambda tensors: None)
    config = {'model_name': 'da3-small', 'config': {'__object__': {'name': 'ignored'}}}
    (folder / 'config.json').write_text(json.dumps(config))
    assert load_network(folder).config.name == 'da3-small'


def test_folders_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='there is no such folder'):
        load_network(tmp_path / 'absent')
    with pytest.raises(CheckpointError, match='neither a folder, nor a hub repository'):
        load_network('da3-enormous')
    with pytest.raises(CheckpointError, match=r'config\.json and model\.safetensors is missing'):
        load_network(tmp_path)


@pytest.mark.parametrize('source', ['da3-small', REPOSITORY])
def test_the_hubs_cache_is_read_offline(
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    source: str,
) -> None:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    in_cache(saved, tmp_path)
    with caplog.at_level(logging.INFO, 'da3_ros'):
        model = DepthAnything3.from_pretrained(source, cache_dir=tmp_path)
    assert model.model_name == 'da3-small'
    assert 'licence of the upstream weights: Apache-2.0' in caplog.text


@pytest.mark.usefixtures('no_network')
def test_a_cached_checkpoint_needs_no_hub(saved: Path, tmp_path: Path) -> None:
    in_cache(saved, tmp_path)
    files = find_checkpoint('da3-small', HubOptions(cache_dir=tmp_path))
    assert files.weights.is_file()


def test_revisions_are_told_apart(saved: Path, tmp_path: Path) -> None:
    in_cache(saved, tmp_path, revision='v2')
    options = HubOptions(cache_dir=tmp_path, local_files_only=True, revision='v2')
    assert find_checkpoint(REPOSITORY, options).config.is_file()
    with pytest.raises(CheckpointError, match='not in the local cache'):
        find_checkpoint(REPOSITORY, HubOptions(cache_dir=tmp_path, local_files_only=True))


@pytest.mark.usefixtures('no_network')
@pytest.mark.timeout(20)
def test_without_hub_and_cache_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint('da3-small', HubOptions(cache_dir=tmp_path))
    message = str(caught.value)
    assert 'http://127.0.0.1:9 cannot be reached' in message
    assert f'hf download {REPOSITORY}' in message
    assert '\n' not in message


def test_short_names_stand_for_the_newest_official_repositories() -> None:
    assert {name: model.repository for name, model in UPSTREAM.items()} == {
        'da3-small': 'depth-anything/DA3-SMALL',
        'da3-base': 'depth-anything/DA3-BASE',
        'da3-large': 'depth-anything/DA3-LARGE-1.1',
        'da3-giant': 'depth-anything/DA3-GIANT-1.1',
        'da3mono-large': 'depth-anything/DA3MONO-LARGE',
        'da3metric-large': 'depth-anything/DA3METRIC-LARGE',
        'da3nested-giant-large': 'depth-anything/DA3NESTED-GIANT-LARGE-1.1',
    }
    restricted = {'da3-large', 'da3-giant', 'da3nested-giant-large'}
    assert all(('NC' in model.licence) == (name in restricted) for name, model in UPSTREAM.items())
    for name in restricted:
        assert repository_of(f'{name}-1.1') == UPSTREAM[name].repository
    assert repository_of('depth-anything/DA3-LARGE') == 'depth-anything/DA3-LARGE'
    for name in ('da3-small-1.1', 'da3-huge'):
        with pytest.raises(CheckpointError, match=f"'{name}' is neither"):
            repository_of(name)
