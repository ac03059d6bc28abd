"""How weights lie in memory on a CUDA device; the same on a CPU, which has the same formats."""

import torch

from da3_ros.inference.cuda.weights import channels_last_heads
from da3_ros.model.build import build_network
from da3_ros.model.convolution import Pointwise
from da3_ros.model.dpt import DptTrunk
from helpers import tiny
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network


def test_heads_compute_the_same_with_kernels_that_lie_as_their_maps() -> None:
    network = synthetic_network(tiny.ANY_VIEW)
    images = torch.randn((1, 2, 3, 28, 42), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = network(images)
        channels_last_heads(network)
        after = network(images)
    assert_equal_to_rounding(after.depth, before.depth, DEEP)
    assert_equal_to_rounding(after.depth_conf, before.depth_conf, DEEP)
    kernels = [
        module.weight
        for head in network.modules()
        if isinstance(head, DptTrunk)
        for module in head.modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
        and not isinstance(module, Pointwise)
    ]
    assert len(kernels) > 20
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_values_stay_and_a_second_time_nothing_is_copied() -> None:
    network = synthetic_network(tiny.SINGLE_VIEW)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    channels_last_heads(network)
    places = [parameter.data_ptr() for parameter in network.parameters()]
    channels_last_heads(network)
    assert [parameter.data_ptr() for parameter in network.parameters()] == places
    state = network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
    backbone = network.backbone.pretrained.patch_embed.proj.weight
    assert backbone.is_contiguous()


def test_weights_can_be_loaded_into_kernels_of_either_order() -> None:
    given = synthetic_network(tiny.SINGLE_VIEW).state_dict()
    network = build_network(tiny.SINGLE_VIEW, 'cpu')
    channels_last_heads(network)
    network.load_state_dict(given)
    state = network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in given.items())
