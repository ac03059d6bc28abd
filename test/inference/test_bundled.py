"""The weights that come with the package."""

import hashlib
import logging
from pathlib import Path
import re

import numpy as np
import pytest
import torch

from da3_ros import DepthAnything3
from da3_ros.errors import CheckpointError
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.hub import BUNDLED_FOLDER, HubOptions, find_checkpoint, repository_of
from da3_ros.inference.network_file import read_network_config
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.weights_file import WeightsFile
from da3_ros.model.presets import (
    BUNDLED,
    CAUTIONS,
    NANO,
    PRESETS,
    preset,
    preset_name,
    random_caution,
)
from helpers.rounding import DEEP, assert_equal_to_rounding

FOLDER = BUNDLED_FOLDER / 'da3_nano'
CARD = FOLDER / 'MODEL_CARD.md'
MOST_BYTES = 8_000_000


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path / 'empty'))


def test_the_model_loads_without_hub_or_cache(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, 'da3_ros'):
        model = DepthAnything3.from_pretrained('da3-nano')
    assert model.model.config == NANO == preset('da3-nano')
    assert not model.is_random
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert 'Apache-2.0' in caplog.text


def test_images_are_by_default_as_large_as_those_of_the_training() -> None:
    model = DepthAnything3.from_pretrained('da3-nano')
    images = np.random.default_rng(0).integers(0, 256, (2, 100, 140, 3), dtype=np.uint8)
    own = model.inference(images)
    assert own.depth.shape == (2, 70, 98)
    asked = model.inference(images, process_res=98)
    assert_equal_to_rounding(own.depth, asked.depth, DEEP)


def test_predictions_say_that_the_network_is_for_tests(caplog: pytest.LogCaptureFixture) -> None:
    model = DepthAnything3.from_pretrained('da3-nano')
    images = np.random.default_rng(0).integers(0, 256, (1, 70, 98, 3), dtype=np.uint8)
    text = CAUTIONS['da3-nano'].text
    assert model.inference(images).notes == model.inference(images).notes == (text,)
    warned = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert [line.getMessage() for line in warned] == [text]
    assert Da3Estimator(model).caution == model.caution == CAUTIONS['da3-nano']


def test_only_the_bundled_network_needs_a_caution() -> None:
    assert set(CAUTIONS) == set(BUNDLED)
    for caution in CAUTIONS.values():
        assert caution.text.startswith(caution.brief)
        assert ';' not in caution.brief
    # Random weights have one of their own; of networks of one's own nothing is known.
    assert DepthAnything3('da3-nano').caution == random_caution('da3-nano')
    own = DepthAnything3(network=random_network(PRESETS['da3-small'], 0))
    assert own.caution is None


def test_published_networks_keep_their_image_size() -> None:
    assert {config.process_res for config in PRESETS.values()} == {504}


def test_the_card_tells_of_this_file() -> None:
    weights = (FOLDER / 'model.safetensors').read_bytes()
    assert len(weights) <= MOST_BYTES
    card = CARD.read_text(encoding='utf-8')
    stated = re.search(r'sha256 \| `([0-9a-f]{64})`', card)
    assert stated
    assert hashlib.sha256(weights).hexdigest() == stated[1]
    assert 'Apache-2.0' in card
    assert 'python -m tools.train_nano' in card
    assert 'not for real pictures' in card
    assert 'python benchmarks/bench_real.py' in card
    assert '$' not in card


def test_weights_are_sixteen_bit_and_the_configuration_names_the_preset() -> None:
    with WeightsFile(FOLDER / 'model.safetensors') as file:
        assert {tensor.dtype for tensor in file.tensors.values()} == {torch.float16}
    assert (FOLDER / 'config.json').read_text(encoding='utf-8').strip() == (
        '{"model_name": "da3-nano"}'
    )
    assert read_network_config(FOLDER / 'config.json') == NANO


def test_bundled_names_are_no_published_ones() -> None:
    assert not set(BUNDLED) & set(PRESETS)
    assert preset_name('da3-nano') == 'da3-nano'
    assert preset_name('da3-nano-1.1') is None
    with pytest.raises(CheckpointError, match='comes with this package'):
        repository_of('da3-nano')
    with pytest.raises(CheckpointError, match='has no revisions'):
        find_checkpoint('da3-nano', HubOptions(revision='main'))


def test_who_misses_other_weights_is_told_of_them_and_gets_nothing_else() -> None:
    with pytest.raises(CheckpointError, match='da3-nano comes with this package'):
        DepthAnything3.from_pretrained('da3-small')


def test_a_broken_installation_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr('da3_ros.inference.hub.BUNDLED_FOLDER', tmp_path / 'gone')
    with pytest.raises(CheckpointError, match='installation is broken'):
        find_checkpoint('da3-nano')
