"""Rows 27, 29 and 37 to 51: Python of the guides, the readme and an article, and what is right."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import numpy as np
from PIL import Image
import pytest
import torch

from da3_ros import DepthAnything3, cfg
from da3_ros.errors import CheckpointError, Da3Error
from da3_ros.inference.network_file import read_network_config
from da3_ros.model.config import AnyViewConfig
from da3_ros.model.presets import PRESETS
from helpers.official_places import ROOT, SOH, Place, folder_images, infer, model, row, small

# As the official readme prints it.
PRINTED = """
__object__:
  path: depth_anything_3.model.da3
  name: DepthAnything3Net
  args: as_params

net:
  __object__:
    path: depth_anything_3.model.dinov2.dinov2
    name: DinoV2
    args: as_params

  name: vitb
  out_layers: [5, 7, 9, 11]
  alt_start: 4
  qknorm_start: 4
  rope_start: 4
  cat_token: True

head:
  __object__:
    path: depth_anything_3.model.dualdpt
    name: DualDPT
    args: as_params

  dim_in: &head_dim_in 1536
  output_dim: 2
  features: &head_features 128
  out_channels: &head_out_channels [96, 192, 384, 768]
"""
CAMERAS = """
cam_enc:
  __object__: {path: depth_anything_3.model.cam_enc, name: CameraEnc, args: as_params}
  dim_out: 768

cam_dec:
  __object__: {path: depth_anything_3.model.cam_dec, name: CameraDec, args: as_params}
  dim_in: 1536
"""
# As the article has it: arguments below `args`.
NESTED = """
__object__: {path: depth_anything_3.model.da3, name: DepthAnything3Net}
args:
  net:
    __object__: {path: depth_anything_3.model.dinov2.dinov2, name: DinoV2}
    args: {name: vits, out_layers: [5, 7, 9, 11], alt_start: 4, qknorm_start: 4, rope_start: 4,
           cat_token: true}
  head:
    __object__:
      name: DualDPT
      args: {dim_in: 768, output_dim: 2, features: 64, out_channels: [48, 96, 192, 384]}
"""


@row(27)
def saved_by_hand(place: Place) -> None:
    page = (ROOT / 'docs' / 'upstream.md').read_text(encoding='utf-8')
    (block,) = re.findall(r'```python\n([^`]*np\.save[^`]*)```', page)
    run_block(block, place)
    depth, conf = (np.load(f'output/{name}.npy') for name in ('depth', 'conf'))
    assert depth.shape == conf.shape == (3, 42, 56)
    assert np.array(Image.open('output/0000.png')).shape == (42, 56, 3)


def run_block(code: str, place: Place) -> None:
    """Run a block of docs/upstream.md where it finds `photos`."""
    (place.folder / 'photos').symlink_to(SOH, target_is_directory=True)
    exec(compile(code, 'docs/upstream.md', 'exec'), {'__name__': '__main__'})


@row(29)
def metric_by_hand(place: Place) -> None:
    network = model('METRIC-LARGE')
    options = {'intrinsics': place.intrinsics, 'process_res': 56}
    prediction = infer(network, place, **options)
    focal = (prediction.intrinsics[:, 0, 0] + prediction.intrinsics[:, 1, 1]) / 2
    metric_depth = focal[:, None, None] * prediction.depth / 300.0
    expected = infer(network, place, **options, to_metric=True).depth
    np.testing.assert_allclose(metric_depth, expected, rtol=1e-5)
    with pytest.raises(Da3Error, match='intrinsics'):
        infer(network, place, process_res=56).intrinsics[:, 0, 0]


@row(37)
def folder_of_images(place: Place) -> None:
    prediction: Any = small().inference(folder_images())
    assert prediction.processed_images.dtype == np.uint8
    assert [len(a) for a in (prediction.depth, prediction.conf, prediction.extrinsics)] == [3] * 3
    prediction.export('output', 'mini_npz-glb')
    assert {'exports/mini_npz/results.npz', 'scene.glb'} <= place.written()


@row(38)
def config_as_printed(place: Place) -> None:
    file = place.folder / 'custom.yaml'
    file.write_text(PRINTED)
    config = read_network_config(file)
    assert isinstance(config, AnyViewConfig)
    base = PRESETS['da3-base']
    assert isinstance(base, AnyViewConfig)
    assert (config.backbone, config.head, config.camera) == (base.backbone, base.head, None)
    file.write_text(narrow(PRINTED))
    network = DepthAnything3.from_config(file)
    assert network.capabilities.names() == ('confidence',)
    prediction = infer(network, place, process_res=56)
    assert prediction.depth.shape == (2, 42, 56)
    assert prediction.extrinsics is None
    assert infer(network, place, process_res=56, use_ray_pose=True).extrinsics.shape == (2, 3, 4)


def narrow(text: str) -> str:
    """Return a configuration of da3-base as one of da3-small, which is quicker to build."""
    widths = {'vitb': 'vits', '1536': '768', '768': '384', '128': '64'}
    return re.sub('vitb|1536|768|128', lambda m: widths[m[0]], text).replace(
        '[96, 192, 384, 384]', '[48, 96, 192, 384]'
    )


@row(39)
def full_config(place: Place) -> None:
    (place.folder / 'full.yaml').write_text(PRINTED + CAMERAS)
    config = read_network_config(place.folder / 'full.yaml')
    base = PRESETS['da3-base']
    assert isinstance(base, AnyViewConfig)
    assert isinstance(config, AnyViewConfig)
    assert config.camera == base.camera
    (place.folder / 'child.yaml').write_text('__inherit__: full.yaml\nhead: {features: 64}\n')
    child = read_network_config(place.folder / 'child.yaml')
    assert isinstance(child, AnyViewConfig)
    assert (child.backbone, child.head.features) == (config.backbone, 64)


@row(40)
def on_what_there_is(place: Place) -> None:
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    network = small()
    prediction = infer(network.to(device=device), place)
    assert f'{prediction.depth.shape} {prediction.extrinsics.shape}' == '(2, 42, 56) (2, 3, 4)'
    assert len(repr(prediction).splitlines()) == 3


@row(41)
def confidence_threshold(place: Place) -> None:
    network = small()
    prediction = infer(network, place, intrinsics=None, conf_thr=0.5)
    assert any('conf_thr' in note for note in prediction.notes)
    strict = float(np.median(prediction.conf))
    for name, threshold in (('all', 0.5), ('half', strict)):
        infer(network, place, conf_thr=threshold).export(name, 'ply', conf_thresh_percentile=0)
    all_points, half = (points_of(Path(name)) for name in ('all', 'half'))
    assert 0.4 * all_points < half < 0.6 * all_points


def points_of(folder: Path) -> int:
    header = (folder / 'points.ply').read_bytes().split(b'end_header')[0].decode()
    (count,) = re.findall(r'element vertex (\d+)', header)
    return int(count)


@row(42)
def depth_as_pictures(place: Place) -> None:
    infer(small(), place).export(export_dir='output', export_format='glb', save_depth=True)
    expected = {'scene.glb', 'exports/mini_npz/results.npz'}
    assert expected | {'depth_image/0000.png'} <= place.written()
    metric = infer(model('METRIC-LARGE'), place, intrinsics=place.intrinsics, to_metric=True)
    metric.export(export_dir='metric', export_format='depth_vis', save_depth=True)
    with Image.open('metric/depth_png/0000.png') as picture:
        assert picture.mode == 'I;16'
        seen = ~metric.sky[0]
        assert (np.abs(np.array(picture) - 1000 * metric.depth[0])[seen] <= 0.5 + 1e-3).all()


@row(43)
def point_cloud(place: Place) -> None:
    infer(small(), place).export(export_dir='output', export_format='ply')
    assert points_of(place.folder / 'output') > 0


@row(44)
def other_names(place: Place) -> None:
    prediction = infer(model('-GIANT'), place, infer_gs=True)
    kwargs = {'3dgs_video': {'trj_mode': 'original'}}
    prediction.export('output', '3dgs_video-depth_image', export_kwargs=kwargs)
    assert 'gs_video/0000_original.mp4' in place.written()
    with Image.open('output/depth_image/0001.png') as picture:
        assert picture.mode == 'L'
        grey = np.array(picture).astype(int)
    near, far = np.percentile(prediction.depth, [2, 98])
    share = np.clip((prediction.depth[1] - near) / (far - near), 0, 1)
    assert np.abs(grey - 255 * share).max() <= 1.5


@row(48)
def nested_arguments(place: Place) -> None:
    (place.folder / 'custom_da3.yaml').write_text(NESTED)
    config = read_network_config(place.folder / 'custom_da3.yaml')
    small_preset = PRESETS['da3-small']
    assert isinstance(config, AnyViewConfig)
    assert isinstance(small_preset, AnyViewConfig)
    assert (config.backbone, config.head) == (small_preset.backbone, small_preset.head)


@row(49)
def created_objects(place: Place) -> None:
    (place.folder / 'custom.yaml').write_text(narrow(PRINTED + CAMERAS))
    network = cfg.create_object(cfg.load_config('custom.yaml'))
    assert isinstance(network, torch.nn.Module)
    assert infer(DepthAnything3(network=network), place, process_res=56).extrinsics is not None
    assert 'random weights' in place.log.text
    (place.folder / 'evil.yaml').write_text('__object__: {path: os, name: getcwd}\n')
    with pytest.raises(CheckpointError, match="expected DepthAnything3Net, got 'getcwd'"):
        cfg.create_object(cfg.load_config('evil.yaml'))


@row(50)
def attention_kernels(place: Place) -> None:
    network = DepthAnything3.from_pretrained('depth-anything/DA3-SMALL', use_xformers=False)
    assert network.arithmetic.attention == 'sdpa'
    network = DepthAnything3.from_pretrained('depth-anything/DA3-SMALL', use_xformers=True)
    assert network.arithmetic.attention in ('sdpa', 'auto', 'xformers')
    assert 'xformers' in place.log.text


@row(51)
def without_xformers(place: Place) -> None:
    code = (
        'import sys; sys.modules["xformers"] = None\n'
        'from da3_ros import DepthAnything3\n'
        'DepthAnything3.from_pretrained("da3-nano").inference(["image1.jpg"])'
    )
    run = [sys.executable, '-c', code]
    subprocess.run(run, check=True, timeout=200, cwd=place.folder)
