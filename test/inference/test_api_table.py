"""The literal signatures of the public API against the option table."""

from __future__ import annotations

from collections.abc import Callable
import inspect
from typing import Any

import numpy as np
import pytest
import torch

from da3_ros.errors import ModelError, PreprocessError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.prediction_export import export_options
from da3_ros.inference.preprocess import preprocess
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.reference_view import select_reference
from da3_ros.options.table import Entrance, OptionSpec
from helpers.option_groups import entries


def by_name(entrance: Entrance) -> dict[str, OptionSpec]:
    return {spec.name: spec for spec in entries(entrance)}


def defaults(function: Callable[..., Any]) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@pytest.mark.parametrize(
    ('function', 'entrance', 'least'),
    [
        (DepthAnything3.inference, Entrance.INFERENCE, 14),
        (DepthAnything3.from_pretrained, Entrance.MODEL, 5),
    ],
)
def test_defaults_of_a_signature_are_those_of_the_table(
    function: Callable[..., Any], entrance: Entrance, least: int
) -> None:
    found, known = defaults(function), by_name(entrance)
    assert len(known) >= least
    # Every entry of the entrance is a parameter, and with the default of the entry.
    assert {name: found.get(name, 'absent') for name in known} == {
        name: spec.default for name, spec in known.items()
    }


def test_the_constructor_has_the_defaults_of_loading() -> None:
    found, known = defaults(DepthAnything3.__init__), by_name(Entrance.MODEL)
    shared = found.keys() & known
    assert shared == {'precision', 'rounding', 'attention', 'tf32', 'runtime'}
    assert {name: found[name] for name in shared} == {name: known[name].default for name in shared}


def test_defaults_of_exporting_are_those_of_the_table() -> None:
    found, known = defaults(Prediction.export), by_name(Entrance.PREDICTION)
    shared = found.keys() & known
    assert shared == {'export_format', 'save_depth', 'overwrite'}
    assert {name: found[name] for name in shared} == {name: known[name].default for name in shared}
    # Its further options: those of all formats, then those of single ones.
    options = export_options()
    holders = (options, options.glb, options.gs_ply, options.gs_video)
    for name in known.keys() - shared:
        holder = next(holder for holder in holders if hasattr(holder, name))
        assert getattr(holder, name) == known[name].default, name


@pytest.mark.parametrize('name', ['process_res_method', 'ref_view_strategy'])
def test_the_choices_that_are_taken_are_those_of_the_table(name: str) -> None:
    choices = by_name(Entrance.INFERENCE)[name].choices
    tokens = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    image = np.zeros((28, 42, 3), np.uint8)

    def take(choice: str) -> None:
        if name == 'process_res_method':
            preprocess([image], 42, choice)
        else:
            select_reference(tokens, choice)

    for choice in choices:
        take(choice)
    with pytest.raises((PreprocessError, ValueError)) as raised:
        take('no such choice')
    assert all(choice in str(raised.value) for choice in choices)


@pytest.mark.parametrize('name', ['precision', 'rounding', 'attention'])
def test_choices_of_the_arithmetic_are_those_of_the_table(name: str) -> None:
    choices = by_name(Entrance.MODEL)[name].choices
    for choice in choices:
        Arithmetic(**{name: choice})  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=', '.join(choices)):
        Arithmetic(**{name: 'no such choice'})  # type: ignore[arg-type]


def test_the_docstring_names_the_choices() -> None:
    text = DepthAnything3.inference.__doc__ or ''
    for choice in by_name(Entrance.INFERENCE)['ref_view_strategy'].choices:
        assert f'`{choice}`' in text
