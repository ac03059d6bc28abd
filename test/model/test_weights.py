"""The rule of the synthetic weights is the one the goldens were made with."""

import zlib

import numpy as np
import pytest

from tools.parity.synthetic_weights import synthetic_tensor

# Name, shape, CRC-32 of the float32 bytes, first value: recorded with the goldens.
RECORDED = [
    ('backbone.pretrained.cls_token', (1, 1, 384), 2657223299, 0.08494868129491806),
    ('backbone.pretrained.pos_embed', (1, 1370, 384), 3335142686, 0.011708381585776806),
    ('backbone.pretrained.blocks.5.attn.qkv.weight', (1152, 384), 1633169209, 0.0131265353411),
    ('backbone.pretrained.blocks.5.attn.q_norm.weight', (64,), 3414306042, 1.3748109340667725),
    ('backbone.pretrained.blocks.5.ls1.gamma', (384,), 2760913647, 0.22208398580551147),
    ('head.resize_layers.0.weight', (48, 48, 4, 4), 3365283228, -0.02337487041950226),
    ('head.scratch.output_conv2_aux.3.0.weight', (32, 32, 3, 3), 2970073247, 0.0),
    ('head.scratch.output_conv2_aux.2.2.weight', (32,), 2536146899, 1.161386489868164),
    ('head.scratch.output_conv2_aux.3.5.weight', (7, 32, 1, 1), 4006400576, 0.20346540212631),
    ('head.scratch.output_conv2_aux.3.5.bias', (7,), 242514596, -0.011580768041312695),
    ('cam_dec.fc_fov.0.bias', (2,), 1144772653, 0.986255943775177),
    ('da3_metric.head.scratch.sky_output_conv2.2.bias', (1,), 4086693915, -0.2501974105834961),
]


@pytest.mark.parametrize(('name', 'shape', 'checksum', 'first'), RECORDED)
def test_tensor_has_the_recorded_bytes(
    name: str, shape: tuple[int, ...], checksum: int, first: float
) -> None:
    tensor = synthetic_tensor(f'model.{name}', shape)
    assert zlib.crc32(np.ascontiguousarray(tensor).tobytes()) == checksum
    assert tensor.flat[0] == pytest.approx(first, abs=1e-7)
