"""Random weights are never silent: in the log, in notes, in files and in pictures."""

import copy
from dataclasses import replace
import logging
from pathlib import Path

import numpy as np
from PIL import Image
import pytest
from safetensors.torch import load_file

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.random_weights import random_network
from da3_ros.model.presets import CAUTIONS, NANO
from da3_ros.pipeline.estimators import own_caution
from helpers.tiny import ANY_VIEW

BRIEF = 'random weights: output means nothing'
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 42, 56, 3), np.uint8)


def test_making_one_says_nothing_and_computing_says_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = DepthAnything3('da3-nano')
    assert not caplog.records
    first, second = (model.inference(IMAGES, process_res=56) for _ in range(2))
    [line] = [r for r in caplog.records if BRIEF in r.getMessage()]
    assert line.levelno == logging.WARNING
    assert "DepthAnything3.from_pretrained('da3-nano')" in line.getMessage()
    for prediction in (first, second):
        assert prediction.caution == BRIEF
        assert prediction.notes[-1].startswith(BRIEF)
    # Every model says it for itself.
    DepthAnything3.from_config(ANY_VIEW).inference(IMAGES, process_res=56)
    assert sum(BRIEF in r.getMessage() for r in caplog.records) == 2


def test_files_and_pictures_say_it(tmp_path: Path) -> None:
    given = DepthAnything3(network=random_network(replace(NANO, name='own'), 0))
    for name, model in (('random', DepthAnything3('da3-nano')), ('given', given)):
        model.inference(
            IMAGES, process_res=56, export_dir=tmp_path / name, export_format='npz-depth_vis'
        )
    with np.load(tmp_path / 'random/exports/npz/results.npz') as arrays:
        assert str(arrays['caution']) == BRIEF
    sizes = {}
    for name in ('random', 'given'):
        with Image.open(tmp_path / name / 'depth_vis/0000.jpg') as picture:
            sizes[name] = picture.size
    # A strip below the picture.
    assert sizes['random'][0] == sizes['given'][0]
    assert sizes['random'][1] > sizes['given'][1]


def test_weights_that_are_loaded_later_are_not_random_any_more() -> None:
    state = DepthAnything3('da3-nano', seed=3).state_dict()
    whole, part, inner = (DepthAnything3('da3-nano') for _ in range(3))
    whole.load_state_dict(state)
    inner.model.load_state_dict({k.removeprefix('model.'): v for k, v in state.items()})
    part.load_state_dict(dict(list(state.items())[:5]), strict=False)
    assert (whole.is_random, inner.is_random, part.is_random) == (False, False, True)
    assert whole.inference(IMAGES, process_res=56).caution == CAUTIONS['da3-nano'].brief
    assert copy.deepcopy(part).is_random


def test_saved_random_weights_are_random_when_they_are_loaded(tmp_path: Path) -> None:
    drawn, learned = tmp_path / 'drawn', tmp_path / 'learned'
    model = DepthAnything3.from_config(ANY_VIEW)
    model.save_pretrained(drawn)
    loaded = DepthAnything3.from_pretrained(drawn)
    assert loaded.is_random
    assert loaded.inference(IMAGES, process_res=56).caution == BRIEF
    assert own_caution(str(drawn)) == loaded.caution
    assert DepthAnything3.from_config(ANY_VIEW, weights=drawn / 'model.safetensors').is_random
    # Saved once more it stays so; readers of others find nothing but more metadata.
    loaded.save_pretrained(tmp_path / 'again')
    assert DepthAnything3.from_pretrained(tmp_path / 'again').is_random
    assert load_file(drawn / 'model.safetensors').keys() <= model.state_dict().keys()
    loaded.load_state_dict(model.state_dict())
    loaded.save_pretrained(learned)
    again = DepthAnything3.from_pretrained(learned)
    assert not again.is_random
    assert again.inference(IMAGES, process_res=56).caution == ''
    assert own_caution(str(learned)) is None
