"""One rule for the default network: what is cached, else the hub, else one short error."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from da3_ros.errors import CheckpointError
from da3_ros.inference.default_model import (
    PREFERRED,
    VARIABLE,
    choose_default_model,
    model_or_default,
)
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.hub import NON_COMMERCIAL, UPSTREAM, licence_of
from da3_ros.model.build import build_network
from da3_ros.model.presets import BUNDLED, PRESETS
from da3_ros.options import Entrance, EstimatorOptions, defaults_at, from_flat
from da3_ros.pipeline.estimators import build_estimator
from helpers.hub_mirror import HubMirror, serving

COMMIT = '0123456789abcdef0123456789abcdef01234567'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of the hub, with the network forbidden."""
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / 'hub'


@pytest.fixture
def put(cache: Path) -> Callable[..., None]:
    """Return what puts a preset's repository into the cache, as huggingface_hub lays it out."""

    def put_one(name: str, *files: str) -> None:
        folder = cache / f'models--{UPSTREAM[name].repository.replace("/", "--")}'
        (folder / 'refs').mkdir(parents=True)
        (folder / 'refs' / 'main').write_text(COMMIT)
        (folder / 'snapshots' / COMMIT).mkdir(parents=True)
        for file in files or ('config.json', 'model.safetensors'):
            (folder / 'snapshots' / COMMIT / file).write_bytes(b'{}')

    return put_one


def test_what_is_cached_is_taken_small_before_base(put: Callable[..., None]) -> None:
    for restricted in ('da3-large', 'da3nested-giant-large'):
        put(restricted)
    with pytest.raises(CheckpointError):
        choose_default_model()
    put('da3-base')
    assert choose_default_model().name == 'da3-base'
    put('da3-small')
    chosen = choose_default_model()
    assert chosen.name == 'da3-small'
    assert 'cache' in chosen.title


def test_half_a_download_is_not_cached(put: Callable[..., None]) -> None:
    put('da3-small', 'config.json')
    put('da3-base')
    assert choose_default_model().name == 'da3-base'


@pytest.mark.usefixtures('cache')
def test_without_cache_and_network_one_sentence_ends_in_a_command() -> None:
    with pytest.raises(CheckpointError) as caught:
        choose_default_model()
    message = str(caught.value)
    assert message.endswith('hf download depth-anything/DA3-SMALL')
    assert '140 MB' in message
    assert '\n' not in message
    assert len(message) < 3 * 80
    # Nobody wants to read what the libraries said.
    assert caught.value.__cause__ is None


@pytest.fixture
def hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubMirror]:
    folder = tmp_path / 'served'
    folder.mkdir()
    for name in ('config.json', 'model.safetensors'):
        (folder / name).write_bytes(b'{}')
    with serving(HubMirror(folder, UPSTREAM['da3-small'].repository)) as mirror:
        monkeypatch.delenv('HF_HUB_OFFLINE')
        monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{mirror.port}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        yield mirror


def test_from_the_hub_comes_the_small_one_said_with_its_size(hub: HubMirror, cache: Path) -> None:
    chosen = choose_default_model()
    assert chosen.name == 'da3-small'
    assert '140 MB' in chosen.title
    # Only asked, nothing fetched.
    assert {method for method, _, _ in hub.seen} == {'HEAD'}
    assert not cache.exists() or not list(cache.rglob('*.safetensors'))


@pytest.mark.usefixtures('cache')
def test_the_environment_overrules_the_rule_but_not_a_name(
    put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put('da3-small')
    monkeypatch.setenv(VARIABLE, ' someone/theirs ')
    assert choose_default_model().name == 'someone/theirs'
    assert VARIABLE in choose_default_model().title
    assert model_or_default('da3-giant').name == 'da3-giant'
    assert model_or_default('').name == model_or_default(None).name == 'someone/theirs'
    monkeypatch.setenv(VARIABLE, ' ')
    assert choose_default_model().name == 'da3-small'


def test_every_entrance_leaves_the_choice_to_the_rule() -> None:
    for entrance in (Entrance.NODE, Entrance.LAUNCH, Entrance.SCENES):
        assert defaults_at(EstimatorOptions, entrance).model == ''
    assert not defaults_at(EstimatorOptions, Entrance.DEMO).model


@pytest.mark.usefixtures('cache')
def test_the_estimator_of_the_node_takes_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match='hf download'):
        build_estimator(from_flat({'device': 'cpu'}))
    monkeypatch.setenv(VARIABLE, 'da3-nano')
    built = build_estimator(from_flat({'device': 'cpu'}))
    assert isinstance(built, Da3Estimator)
    assert built.model.model_name == 'da3-nano'


def test_what_the_rule_takes_may_be_used_commercially_and_is_no_test_network() -> None:
    assert not set(PREFERRED) & set(BUNDLED)
    assert all(licence_of(name) != NON_COMMERCIAL for name in PREFERRED)


@pytest.mark.parametrize('name', list(PRESETS))
def test_stated_sizes_are_those_of_float32_weights(name: str) -> None:
    size_mb = 4e-6 * sum(p.numel() for p in build_network(PRESETS[name]).parameters())
    assert UPSTREAM[name].size_mb == pytest.approx(size_mb, rel=0.03)
