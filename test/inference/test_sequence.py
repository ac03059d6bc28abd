"""Images one by one: what `inference` says of every window, each image computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
import gc
from pathlib import Path
from typing import Any
import weakref

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from da3_ros.errors import Da3Error, ModelError, PreprocessError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.stages import EncodedView, FusedWindow, InputCameras, Maps
from da3_ros.inference.runtimes.torch_stages import TorchAnyView
from da3_ros.inference.sequence import SequencePrediction
from da3_ros.inference.staged_network import StagedNetwork
from da3_ros.inference.window_pass import WindowPredictor
from da3_ros.model.config import NetworkConfig
from helpers.tiny import ANY_VIEW, NESTED, SINGLE_VIEW

COUNT = 6
SIZE = (28, 42)
IMAGES = np.random.default_rng(0).integers(0, 255, (COUNT, *SIZE, 3)).astype(np.uint8)
POSES = np.tile(np.eye(4), (COUNT, 1, 1))
POSES[:, :3, 3] = np.random.default_rng(1).normal(size=(COUNT, 3))
K = np.tile(np.array([[30.0, 0, 21], [0, 30, 14], [0, 0, 1]]), (COUNT, 1, 1))
ARRAYS = ('depth', 'conf', 'sky', 'extrinsics', 'intrinsics', 'processed_images', 'visible')


@cache
def model_of(config: NetworkConfig) -> DepthAnything3:
    return DepthAnything3(network=random_network(config, 3), runtime='torch')


def assert_as_inference(
    found: SequencePrediction, expected: Prediction, new: Sequence[int]
) -> None:
    """Compare with what is said about a window as one scene; `new` are places in it."""
    assert found.new_numbers == tuple(found.numbers[place] for place in new)
    for name in ARRAYS:
        ours, theirs = getattr(found.new, name), getattr(expected, name)
        # Also of what stands in place of intrinsics that are missing.
        assert type(ours) is type(theirs), name
        if isinstance(theirs, np.ndarray):
            bound = 1e-5 * float(np.nanmax(np.abs(theirs.astype(np.float64))))
            np.testing.assert_allclose(ours, theirs[list(new)], rtol=1e-5, atol=bound)
    for name in ('extrinsics', 'intrinsics'):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if isinstance(theirs, np.ndarray):
            bound = 1e-5 * float(np.abs(theirs).max())
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=bound)
    assert found.new.is_metric == expected.is_metric
    assert found.new.placements == tuple(expected.placements[place] for place in new)
    assert found.new.caution == expected.caution


GIVEN: dict[str, tuple[bool, bool]] = {
    'nothing': (False, False),
    'intrinsics': (False, True),
    'extrinsics': (True, False),
    'cameras': (True, True),
}


@pytest.mark.parametrize('given', GIVEN)
@pytest.mark.parametrize('config', [ANY_VIEW, SINGLE_VIEW, NESTED], ids=lambda c: c.name)
def test_a_window_is_what_inference_says_of_its_images(config: NetworkConfig, given: str) -> None:
    model = model_of(config)
    has_poses, has_intrinsics = GIVEN[given]
    windows = {0: (0,), 1: (0, 1), 2: (0, 1, 2), 3: (1, 2, 3), 4: (2, 3, 4), 5: (3, 4, 5)}
    with model.sequence(window=3, process_res=SIZE[1]) as frames:
        for number in range(COUNT):
            found = frames.push(
                IMAGES[number],
                POSES[number] if has_poses else None,
                K[number] if has_intrinsics else None,
            )
            assert found is not None
            assert found.numbers == windows[number]
            of = list(windows[number])
            expected = model.inference(
                IMAGES[of],
                POSES[of] if has_poses else None,
                K[of] if has_intrinsics else None,
                process_res=SIZE[1],
            )
            assert_as_inference(found, expected, [len(of) - 1])
            assert found.new.notes == expected.notes


OPTIONS: dict[str, tuple[NetworkConfig, bool, dict[str, Any]]] = {
    'rays': (ANY_VIEW, False, {'use_ray_pose': True}),
    'strategy': (ANY_VIEW, False, {'ref_view_strategy': 'middle'}),
    'side': (ANY_VIEW, False, {'process_res': 28}),
    'resize': (ANY_VIEW, False, {'process_res': 40, 'process_res_method': 'lower_bound_crop'}),
    'scale': (ANY_VIEW, True, {'align_to_input_ext_scale': False}),
    'metres': (SINGLE_VIEW, True, {'to_metric': True}),
    'input size': (ANY_VIEW, False, {'depth_size': 'input', 'process_res': 28}),
    'input size of cameras': (ANY_VIEW, True, {'depth_size': 'input', 'process_res': 28}),
}


@pytest.mark.parametrize('option', OPTIONS)
def test_options_are_those_of_inference(option: str) -> None:
    config, has_cameras, options = OPTIONS[option]
    model = model_of(config)
    options = {'process_res': SIZE[1], **options}
    cameras = (POSES, K) if has_cameras else ([None] * COUNT, [None] * COUNT)
    with model.sequence(window=3, stride=2, **options) as frames:
        pushed = [frames.push(*given) for given in zip(IMAGES, *cameras, strict=True)]
    assert [window is None for window in pushed] == [True, False] * 3
    found = pushed[3]
    assert found is not None
    of = [1, 2, 3]
    scene = (IMAGES[of], POSES[of], K[of]) if has_cameras else (IMAGES[of],)
    expected = model.inference(*scene, **options)
    assert_as_inference(found, expected, [1, 2])
    # It has effect.
    plain: dict[str, Any] = {'process_res': SIZE[1]}
    without = model.inference(*scene, **plain)
    assert any(
        ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-4)
        for ours, theirs in zip(of_arrays(expected), of_arrays(without), strict=True)
    )


def of_arrays(prediction: Prediction) -> list[np.ndarray]:
    assert prediction.extrinsics is not None
    return [prediction.depth, prediction.extrinsics]


def test_the_rest_comes_at_the_end_and_every_image_once() -> None:
    seen: list[int] = []
    with model_of(ANY_VIEW).sequence(window=3, stride=2, process_res=SIZE[1]) as frames:
        assert frames.flush() is None
        for image in IMAGES[:5]:
            found = frames.push(image)
            seen += found.new_numbers if found else ()
        last = frames.flush()
        assert last is not None
        assert (last.numbers, last.new_numbers) == ((2, 3, 4), (4,))
        assert frames.flush() is None
    assert [*seen, *last.new_numbers] == list(range(5))
    with pytest.raises(ModelError, match=r'after close\(\)'):
        frames.push(IMAGES[0])
    assert frames.flush() is None


def test_cameras_that_are_known_in_part_are_not_used() -> None:
    model = model_of(ANY_VIEW)
    with model.sequence(window=3, process_res=SIZE[1]) as frames:
        frames.push(IMAGES[0], POSES[0], K[0])
        found = frames.push(IMAGES[1], None, K[1])
        assert found is not None
        text = 'extrinsics are known of 1 of 2 images of the window: not used'
        assert found.new.notes[0] == text
        assert_as_inference(
            found, model.inference(IMAGES[:2], None, K[:2], process_res=SIZE[1]), [1]
        )


def test_images_of_every_kind(tmp_path: Path) -> None:
    """Files, images of PIL, another size, transparent ones; as for `inference`."""
    path = tmp_path / 'first.png'
    Image.fromarray(IMAGES[0]).save(path)
    clear = np.dstack([IMAGES[2], np.full(SIZE, 255, np.uint8)])
    clear[:14, :, 3] = 0
    wide = np.random.default_rng(3).integers(0, 255, (28, 56, 3)).astype(np.uint8)
    images: list[Any] = [path, Image.fromarray(IMAGES[1]), clear, wide, IMAGES[4]]
    model = model_of(ANY_VIEW)
    with model.sequence(window=3, process_res=42) as frames:
        for number, image in enumerate(images):
            found = frames.push(image)
            assert found is not None
            of = images[max(0, number - 2) : number + 1]
            expected = model.inference(of, process_res=42)
            assert_as_inference(found, expected, [len(of) - 1])
            assert found.new.image_paths == expected.image_paths[-1:]
    assert found is not None
    assert any(note.startswith('image 2: transparent') for note in found.new.notes)


def test_a_buffer_may_be_written_to_again() -> None:
    model = model_of(ANY_VIEW)
    buffer = np.empty_like(IMAGES[0])
    other = np.zeros((28, 28, 3), np.uint8)
    with model.sequence(window=2, process_res=SIZE[1]) as frames:
        buffer[:] = IMAGES[0]
        frames.push(buffer)
        buffer[:] = IMAGES[1]
        # Of another shape, so that the first image is cropped and encoded again.
        found = frames.push(other)
    assert found is not None
    assert_as_inference(found, model.inference([IMAGES[0], other], process_res=SIZE[1]), [1])


@pytest.mark.parametrize(
    ('image', 'extrinsics', 'intrinsics', 'match'),
    [
        ('nowhere.png', None, None, 'image 1: cannot read nowhere.png'),
        (IMAGES[1].astype(np.float32), None, None, 'image 1: expected a uint8 array'),
        (IMAGES[1][:2], None, None, 'image 1: 2 x 42 would become'),
        (IMAGES[1], 2 * POSES[1], None, 'extrinsics of image 1: expected a rigid'),
        (IMAGES[1], POSES[1][:2], None, 'extrinsics of image 1: expected shape'),
        (IMAGES[1], [[1, 0], [1]], None, 'extrinsics of image 1: expected numbers'),
        (IMAGES[1], None, np.zeros((3, 3)), 'intrinsics of image 1: focal'),
        (IMAGES[1], None, np.full((3, 3), np.nan), 'intrinsics of image 1: expected finite'),
    ],
)
def test_what_cannot_be_used_is_as_if_it_had_not_come(
    image: Any, extrinsics: Any, intrinsics: Any, match: str
) -> None:
    model = model_of(ANY_VIEW)
    with model.sequence(window=2, process_res=SIZE[1]) as frames:
        frames.push(IMAGES[0])
        with pytest.raises(PreprocessError, match=match):
            frames.push(image, extrinsics, intrinsics)
        found = frames.push(IMAGES[1])
    assert found is not None
    assert found.numbers == (0, 1)
    assert_as_inference(found, model.inference(IMAGES[:2], process_res=SIZE[1]), [1])


@pytest.mark.parametrize(('window', 'stride'), [(0, 1), (2, 3), (2, 0)])
def test_impossible_windows_are_refused(window: int, stride: int) -> None:
    with pytest.raises(ModelError, match='1 <= stride <= window'):
        model_of(ANY_VIEW).sequence(window, stride)


@pytest.mark.parametrize('wrong', ['3', 1.5, 2.0, None, float('nan')])
@pytest.mark.parametrize('name', ['window', 'stride'])
def test_numbers_of_images_are_whole(name: str, wrong: Any) -> None:
    with pytest.raises(ModelError, match=f'{name} must be a whole number, got'):
        model_of(ANY_VIEW).sequence(**{name: wrong})


def test_numbers_may_be_those_of_numpy() -> None:
    counts = np.array([2, 1])
    with model_of(ANY_VIEW).sequence(*counts, process_res=SIZE[1]) as frames:
        windows = [frames.push(image) for image in IMAGES[:3]]
    assert [window and window.numbers for window in windows] == [(0,), (0, 1), (1, 2)]


# ---- work


class Counting(TorchAnyView):
    """A runtime that counts the views that go through its stages, and fails when it shall."""

    def __init__(self) -> None:
        network = model_of(ANY_VIEW).model.any_view
        assert network is not None
        super().__init__(network)
        self.views: Counter[str] = Counter()
        self.fails = False

    def encode(self, images: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        self.views['encode'] += len(images)
        return super().encode(images)

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        if self.fails:
            raise ModelError('no memory')
        self.views['fuse'] += len(views)
        return super().fuse(views, cameras, strategy=strategy, wanted=wanted)

    def decode(self, fused: FusedWindow) -> Maps:
        self.views['decode'] += len(fused.wanted)
        return super().decode(fused)


def predictor(runtime: Counting) -> WindowPredictor:
    return WindowPredictor(StagedNetwork(runtime, model_name='tiny'), 'float32')


@pytest.mark.parametrize(('has_cameras', 'decoded'), [(False, 1), (True, 4)])
def test_an_image_goes_once_through_each_stage_that_it_needs(
    has_cameras: bool, decoded: int
) -> None:
    runtime = Counting()
    with predictor(runtime).sequence(window=4, process_res=SIZE[1]) as frames:
        for number in range(COUNT):
            runtime.views.clear()
            cameras = (POSES[number], K[number]) if has_cameras else (None, None)
            frames.push(IMAGES[number], *cameras)
    assert runtime.views == {'encode': 1, 'fuse': 4, 'decode': decoded}


def test_after_a_failure_the_next_window_makes_up_for_it() -> None:
    runtime = Counting()
    with predictor(runtime).sequence(window=3, process_res=SIZE[1]) as frames:
        frames.push(IMAGES[0])
        runtime.fails = True
        with pytest.raises(Da3Error, match='no memory'):
            frames.push(IMAGES[1])
        runtime.fails = False
        found = frames.push(IMAGES[2])
        assert found is not None
        assert (found.numbers, found.new_numbers) == ((0, 1, 2), (1, 2))
        assert runtime.views['encode'] == 3
        next_one = frames.push(IMAGES[3])
        assert next_one is not None
        assert next_one.new_numbers == (3,)


def test_sequences_of_one_network_never_get_one_another_s_images() -> None:
    runtime = Counting()
    model = model_of(ANY_VIEW)
    shared = predictor(runtime)
    with (
        shared.sequence(window=2, process_res=SIZE[1]) as one,
        shared.sequence(window=2, process_res=SIZE[1]) as other,
    ):
        for number in range(3):
            ours = one.push(IMAGES[number])
            theirs = other.push(IMAGES[5 - number])
    assert ours is not None
    assert theirs is not None
    assert_as_inference(ours, model.inference(IMAGES[1:3], process_res=SIZE[1]), [1])
    assert_as_inference(theirs, model.inference(IMAGES[[4, 3]], process_res=SIZE[1]), [1])


def test_a_sequence_keeps_what_windows_need_and_no_more() -> None:
    model = model_of(ANY_VIEW)
    with model.sequence(window=3, process_res=28) as frames:
        for number in range(40):
            found = frames.push(np.full((28, 28, 3), number, np.uint8))
            assert len(frames._images) <= 3
            assert len(frames._networks['torch']._stages._encoded) <= 3  # type: ignore[attr-defined]
        assert found is not None
        assert found.new.depth.base is None
        network = weakref.ref(frames._networks['torch'])
    gc.collect()
    assert network() is None
    assert not frames._images


def test_notes_are_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    with model_of(ANY_VIEW).sequence(window=1, process_res=28) as frames:
        for _ in range(3):
            frames.push(IMAGES[0], intrinsics=K[0])
    assert sum('extrinsics' in record.getMessage() for record in caplog.records) == 1
