"""Copies between host and device by way of buffers that are used in turn."""

import numpy as np
from numpy.typing import NDArray
import pytest
import torch

from da3_ros.inference.cuda.transfers import UPLOADS, Downloads, Uploads
from helpers.pretended_device import PretendedDevice

CPU = torch.device('cpu')


@pytest.fixture
def device() -> PretendedDevice:
    return PretendedDevice()


def picture(seed: int, *shape: int) -> NDArray[np.uint8]:
    values: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return values


@pytest.mark.parametrize(
    'array',
    [
        picture(0, 3, 14, 28, 3),
        picture(1, 2, 28, 28, 3)[:, ::2],
        np.random.default_rng(2).normal(size=(5, 4, 4)).astype(np.float32),
        np.array([[1.5]]),
        np.zeros((0, 4), np.float32),
    ],
)
def test_what_is_put_arrives(device: PretendedDevice, array: NDArray[np.generic]) -> None:
    array.flags.writeable = False
    there = Uploads(device).put(array, CPU)
    assert there.dtype == torch.from_numpy(np.empty(0, array.dtype)).dtype
    assert np.array_equal(there.numpy(), array)


def test_the_source_may_change_as_soon_as_it_was_put(device: PretendedDevice) -> None:
    array = picture(0, 4, 14, 14, 3)
    before = array.copy()
    there = Uploads(device).put(array, CPU)
    array[:] = 0
    assert np.array_equal(there.numpy(), before)


def test_what_was_put_keeps_its_values_while_the_ring_goes_round(
    device: PretendedDevice,
) -> None:
    uploads = Uploads(device)
    arrays = [picture(seed, 2, 14, 14, 3) for seed in range(3 * UPLOADS)]
    there = [uploads.put(array, CPU) for array in arrays]
    for array, tensor in zip(arrays, there, strict=True):
        assert np.array_equal(tensor.numpy(), array)
    # Each buffer is made once.
    assert device.host_sizes == [arrays[0].nbytes] * UPLOADS


def test_a_buffer_that_the_device_still_reads_is_waited_for(device: PretendedDevice) -> None:
    uploads = Uploads(device)
    for seed in range(UPLOADS):
        uploads.put(picture(seed, 1, 14, 14, 3), CPU)
    for mark in device.marks:
        mark.is_done = False
    uploads.put(picture(9, 1, 14, 14, 3), CPU)
    assert [mark.waits for mark in device.marks] == [1, *[0] * UPLOADS]


def test_a_buffer_grows_and_stays_large(device: PretendedDevice) -> None:
    uploads = Uploads(device, 1)
    for side in (14, 28, 14, 28):
        uploads.put(picture(side, 1, side, side, 3), CPU)
    assert device.host_sizes == [14 * 14 * 3, 28 * 28 * 3]


def test_results_come_together_after_one_wait(device: PretendedDevice) -> None:
    tensors = (
        torch.arange(7.0),
        None,
        torch.tensor([3]),
        torch.arange(24.0).reshape(2, 3, 4).transpose(0, 2).double(),
        torch.zeros(0, 3),
    )
    fetched = Downloads(device).start(tensors)
    assert len(device.marks) == 1
    arrays = fetched.arrays()
    assert device.marks[0].waits == 1
    for array, tensor in zip(arrays, tensors, strict=True):
        assert (array is None) == (tensor is None)
        if array is not None and tensor is not None:
            assert array.dtype == tensor.numpy().dtype
            assert np.array_equal(array, tensor.numpy())
    assert fetched.arrays() is arrays
    assert device.marks[0].waits == 1


def test_results_keep_their_values_when_buffers_are_used_again(device: PretendedDevice) -> None:
    downloads = Downloads(device)
    kept = [downloads.start([torch.full((4,), float(n))]).arrays()[0] for n in range(9)]
    for number, array in enumerate(kept):
        assert array is not None
        assert (array == number).all()
    assert len(device.host_sizes) == 1


def test_results_on_their_way_have_a_buffer_each(device: PretendedDevice) -> None:
    downloads = Downloads(device)
    waiting = [downloads.start([torch.full((4,), float(n))]) for n in range(9)]
    for number, fetched in enumerate(waiting):
        [array] = fetched.arrays()
        assert array is not None
        assert (array == number).all()
    for _ in range(9):
        downloads.start([torch.zeros(4)]).arrays()
    assert len(device.host_sizes) == 9
