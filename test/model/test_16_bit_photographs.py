"""16 bit on a CPU keeps its bounds on photographs, which noise alone does not show."""

from collections.abc import Iterator
import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.geometry.camera import ImageSize
from da3_ros.inference.preprocess import normalise
from da3_ros.model.arithmetic import Arithmetic, apply_arithmetic
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.reference_view import select_reference
from helpers.middlebury import MissingSetError
from helpers.real_sets import RealSet, committed_set, shared_set

CPU = torch.device('cpu')
SIZE = ImageSize(252, 140)
SMALL = ImageSize(126, 70)
WINDOW = 4


@pytest.fixture(scope='module')
def networks(small: AnyViewNetwork) -> tuple[AnyViewNetwork, AnyViewNetwork]:
    """Return a network in float32 and in bf16."""
    narrow = copy.deepcopy(small)
    apply_arithmetic(narrow, Arithmetic('bf16'), CPU)
    return small, narrow


@pytest.fixture(scope='module', autouse=True)
def without_gradients() -> Iterator[None]:
    """Compute as users do."""
    with torch.inference_mode():
        yield


def pixels(photographs: RealSet, indices: list[int], size: ImageSize) -> Tensor:
    """Return photographs as a network takes them, (1, V, 3, H, W)."""
    frames = [frame.resized(size) for frame in photographs.frames(indices)]
    return normalise(torch.from_numpy(np.stack([frame.image for frame in frames])))[None]


def spread(photographs: RealSet, count: int) -> list[int]:
    """Return the places of some photographs from all over a set."""
    return [int(place) for place in np.linspace(0, len(photographs) - 1, count)]


def assert_references_stay(
    networks: tuple[AnyViewNetwork, AnyViewNetwork], photographs: RealSet, count: int
) -> None:
    images = pixels(photographs, spread(photographs, count), SMALL)
    exact, narrow = (network.encode(images) for network in networks)
    assert not torch.equal(exact.tokens, narrow.tokens)
    # To the last bit: half of all windows are nearer to a tie than bf16 is exact.
    assert torch.equal(exact.reference_tokens, narrow.reference_tokens)
    for length in (3, WINDOW):
        for start in range(count - length + 1):
            rows = slice(start, start + length)
            chosen = [
                int(select_reference(views.reference_tokens[:, rows], 'saddle_balanced'))
                for views in (exact, narrow)
            ]
            assert chosen[0] == chosen[1]


def assert_depth_keeps_its_bounds(
    networks: tuple[AnyViewNetwork, AnyViewNetwork], photographs: RealSet, count: int
) -> None:
    places = spread(photographs, count)
    for window in ([places[0]], [places[-1]], *map(list, pairwise(places))):
        images = pixels(photographs, window, SIZE)
        exact, narrow = (network(images).depth.numpy() for network in networks)
        error = np.abs(narrow - exact) / exact
        assert 0 < np.median(error) <= 3e-3
        assert np.quantile(error, 0.99) <= 1e-2


@pytest.mark.parametrize('name', ['kinect_desk_five', 'hololens_office'])
def test_the_reference_view_is_that_of_float32(
    networks: tuple[AnyViewNetwork, AnyViewNetwork], name: str
) -> None:
    photographs = committed_set(name)
    assert_references_stay(networks, photographs, min(len(photographs), 8))


@pytest.mark.parametrize('name', ['kinect_desk_five', 'hololens_office'])
def test_depth_of_photographs_keeps_its_bounds(
    networks: tuple[AnyViewNetwork, AnyViewNetwork], name: str
) -> None:
    assert_depth_keeps_its_bounds(networks, committed_set(name), 3)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['7scenes_redkitchen', 'hololens_office'])
def test_many_photographs_keep_both(
    networks: tuple[AnyViewNetwork, AnyViewNetwork], name: str
) -> None:
    try:
        photographs = shared_set(name)
    except MissingSetError as error:
        pytest.skip(str(error))
    assert_references_stay(networks, photographs, len(photographs))
    assert_depth_keeps_its_bounds(networks, photographs, 12)
