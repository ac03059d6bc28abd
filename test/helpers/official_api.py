"""Rows 0 to 20 of the official documentation: its API page, in our names, and what is right.

Snippets stand as they are printed; what they lack, as a small size, only makes them quick.
"""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path
import subprocess
import sys
from typing import Any, get_args

import numpy as np
from PIL import Image
import pytest
import torch

from da3_ros import DepthAnything3
from da3_ros.errors import CheckpointError, ExportError, ModelError
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.inference import api as inference_api
from da3_ros.options.choices import TrajectoryMode
from da3_ros.sources.results import read_results
from helpers import official_places
from helpers.cli import da3
from helpers.official_places import ROOT, Place, folder_images, infer, model, row, small


@row(0)
def imports(place: Place) -> None:
    names = 'DepthAnything3, Prediction'
    code = 'import sys\nimport da3_ros.api, da3_ros.cfg\nassert "torch" not in sys.modules\n'
    code += f'from da3_ros.api import {names}\nimport da3_ros\n'
    code += 'assert (da3_ros.DepthAnything3, da3_ros.Prediction) == (DepthAnything3, Prediction)'
    subprocess.run([sys.executable, '-c', code], check=True, timeout=200, cwd=ROOT)


@row(1)
def nested_on_cuda(place: Place) -> None:
    network = DepthAnything3.from_pretrained('depth-anything/DA3NESTED-GIANT-LARGE')
    assert infer(network, place).is_metric
    if not torch.cuda.is_available():
        with pytest.raises((RuntimeError, AssertionError), match=r'CUDA|NVIDIA'):
            network.to('cuda')
    with pytest.raises(CheckpointError, match='hf download depth-anything/DA3-ELSEWHERE'):
        DepthAnything3.from_pretrained('depth-anything/DA3-ELSEWHERE')


@row(2)
def two_images(place: Place) -> None:
    prediction = small().inference(['image1.jpg', 'image2.jpg'])
    assert prediction.depth.shape == (2, 42, 56)


@row(3)
def known_cameras(place: Place) -> None:
    network, E, K = small(), place.extrinsics, place.intrinsics
    prediction = infer(network, place, extrinsics=E, intrinsics=K)
    np.testing.assert_allclose(prediction.extrinsics, E[:, :3], atol=1e-6)
    assert prediction.alignment is not None
    assert any('intrinsics' in note for note in infer(network, place, extrinsics=E).notes)


@row(4)
def exported_twice(place: Place) -> None:
    network = small()
    options: dict[str, Any] = {'export_dir': './output', 'export_format': 'mini_npz-glb'}
    infer(network, place, **options)
    (place.folder / 'output' / 'mine.txt').write_text('keep')
    before = place.arrays('mini_npz')['depth']
    network.inference(['image3.jpg', 'image2.jpg'], **options)
    assert {'scene.glb', 'exports/mini_npz/results.npz', 'mine.txt'} <= place.written()
    assert not np.array_equal(before, place.arrays('mini_npz')['depth'])

    def computes(*given: Any, **named: Any) -> None:
        raise AssertionError('computed before the folder was looked at')

    place.patch.setattr(network, 'forward', computes)
    with pytest.raises(ExportError, match='overwrite'):
        infer(network, place, **options, overwrite=False)


@row(5)
def features(place: Place) -> None:
    infer(
        small(), place, export_dir='./output', export_format='feat_vis',
        export_feat_layers=[0, 1, 2],
    )  # fmt: skip
    assert {f'feat_vis/feat_layer_{n}.mp4' for n in range(3)} <= place.written()


@row(6)
def random_giant(place: Place) -> None:
    """With a narrow network of the giant's layers; the giant itself is below, marked slow."""
    place.patch.setattr(inference_api, 'preset', lambda name: official_places.GIANT)
    random_giant_of(place, chunk_size=4)


def random_giant_of(place: Place, **video: Any) -> None:
    prediction = infer(
        DepthAnything3(model_name='da3-giant').to('cpu'),
        place,
        extrinsics=place.extrinsics,
        intrinsics=place.intrinsics,
        export_dir='./output',
        export_format='npz-glb-gs_ply-gs_video',
        align_to_input_ext_scale=True,
        infer_gs=True,
        process_res=28,
        export_kwargs={'gs_video': video},
    )
    flight = f'gs_video/0000_{video.get("trj_mode", "extend")}.mp4'
    assert {'scene.glb', 'gs_ply/0000.ply', flight} <= place.written()
    assert any('random weights' in note for note in prediction.notes)
    assert 'random weights' in place.log.text
    assert 'from_pretrained' in place.log.text
    assert any('random weights' in str(array) for array in place.arrays('npz').values())
    assert b'random weights' in (place.folder / 'output' / 'gs_ply' / '0000.ply').read_bytes()


@row(7)
def many_features(place: Place) -> None:
    options = {
        'export_dir': './output', 'export_format': 'mini_npz-glb-depth_vis-feat_vis',
        'export_feat_layers': [0, 5, 10, 15, 20], 'feat_vis_fps': 30,
    }  # fmt: skip
    infer(model('-GIANT'), place, **options)
    assert {'depth_vis/0000.jpg', 'feat_vis/feat_layer_20.mp4'} <= place.written()
    with pytest.raises(ModelError, match=r'\[15, 20\].*0\.\.11'):
        infer(small(), place, **{**options, 'export_dir': 'other'})


@row(8)
def ray_poses(place: Place) -> None:
    network = small()
    found = [infer(network, place, use_ray_pose=rays).extrinsics for rays in (False, True)]
    assert not np.allclose(*found)


@row(9)
def reference_views(place: Place) -> None:
    network = small()
    for strategy in ('saddle_balanced', 'middle'):
        infer(network, place, ref_view_strategy=strategy)
    with pytest.raises(ModelError, match='saddle_balanced'):
        infer(network, place, ref_view_strategy='empty')


@row(10)
def every_argument(place: Place) -> None:
    prediction = model('-GIANT').inference(
        image=list(place.images), extrinsics=place.extrinsics, intrinsics=place.intrinsics,
        align_to_input_ext_scale=True, infer_gs=True, use_ray_pose=False,
        ref_view_strategy='saddle_balanced', render_exts=place.extrinsics,
        render_ixts=place.intrinsics, render_hw=(48, 64), process_res=28,
        process_res_method='upper_bound_resize', export_dir='output', export_format='mini_npz',
        export_feat_layers=[], conf_thresh_percentile=40.0, num_max_points=1_000_000,
        show_cameras=True, feat_vis_fps=15, export_kwargs={},
    )  # fmt: skip
    assert prediction.gaussians is not None
    assert 'exports/mini_npz/results.npz' in place.written()


@row(11)
def kinds_of_images(place: Place) -> None:
    network, (path, _) = small(), place.images
    pixels = Image.open(path).convert('RGB')
    given: list[Any] = [path, Path(path), pixels, np.array(pixels)]
    depths = [network.inference([image]).depth for image in given]
    for depth in depths[1:]:
        np.testing.assert_array_equal(depth, depths[0])


@row(12)
def resize_methods(place: Place) -> None:
    network = small()
    for bound, side in (('upper', 'max'), ('lower', 'min')):
        for fit in ('resize', 'crop'):
            prediction = infer(network, place, process_res_method=f'{bound}_bound_{fit}')
            height, width = prediction.depth.shape[1:]
            assert {'max': max(height, width), 'min': min(height, width)}[side] == 56


@row(13)
def options_of_gaussians(place: Place) -> None:
    infer(
        model('-GIANT'), place, infer_gs=True, export_dir='output',
        export_format='gs_ply-gs_video',
        export_kwargs={
            'gs_ply': {'gs_views_interval': 1},
            'gs_video': {'trj_mode': 'interpolate_smooth', 'chunk_size': 1, 'vis_depth': None},
        },
    )  # fmt: skip
    assert place.written() == {'gs_ply/0000.ply', 'gs_video/0000_interpolate_smooth.mp4'}
    for mode in (
        *('original', 'smooth', 'interpolate', 'interpolate_smooth', 'wander', 'dolly_zoom'),
        *('extend', 'wobble_inter'),
    ):
        assert mode in get_args(TrajectoryMode)


def fly(place: Place, **options: Any) -> None:
    infer(
        model('-GIANT'), place, infer_gs=True, export_dir='output', export_format='gs_video',
        export_kwargs={'gs_video': options},
    )  # fmt: skip


@row(14)
def options_of_videos(place: Place) -> None:
    fly(
        place, extrinsics=place.extrinsics, intrinsics=place.intrinsics, out_image_hw=(48, 64),
        trj_mode='original', chunk_size=8, vis_depth='hcat', output_name='flight',
        video_quality='low',
    )  # fmt: skip
    assert place.written() == {'gs_video/flight.mp4'}


@row(15)
def color_mode_and_tqdm(place: Place) -> None:
    videos = []
    # From afar, where Gaussians do not cover all.
    far = place.extrinsics
    far[:, 2, 3] = 8
    views = {'extrinsics': far, 'intrinsics': place.intrinsics, 'out_image_hw': (48, 64)}
    for mode, bar, name in (('RGB+ED', True, 'a'), ('RGB+D', False, 'b')):
        choice = {'color_mode': mode, 'enable_tqdm': bar, 'output_name': name}
        fly(place, trj_mode='original', **views, **choice)
        videos.append((place.folder / f'output/gs_video/{name}.mp4').read_bytes())
        assert ('gs_video' in place.screen.readouterr().err) == bar
    assert videos[0] != videos[1]
    with pytest.raises(ExportError, match=r'color_mode.*RGB\+D, RGB\+ED'):
        GsVideoOptions(color_mode='D')  # type: ignore[arg-type]


@row(16)
def documented_keys(place: Place) -> None:
    (place.folder / 'out').mkdir()
    path = place.folder / 'out' / 'results.npz'
    depth = np.full((2, 4, 6), 2.0, np.float32)
    np.savez(path, depth=depth, conf=depth, exts=place.extrinsics, ixts=place.intrinsics)
    scene = read_results(path).scene
    np.testing.assert_allclose(scene.views[1].world_from_camera[0, 3], 0.2)
    assert {'exts', 'ixts', 'views'} <= set(da3('info', path).split())
    da3('export', path, '--export-dir', 'output', '--export-format', 'ply')
    assert place.written() == {'points.ply'}


@row(17)
def attributes(place: Place) -> None:
    prediction = infer(model('-GIANT'), place, infer_gs=True, export_feat_layers=[0])
    N, H, W = prediction.depth.shape
    assert all(hasattr(prediction, name) for name in ('conf', 'extrinsics', 'intrinsics', 'aux'))
    assert prediction.conf.shape == (N, H, W)
    assert (prediction.extrinsics.shape, prediction.intrinsics.shape) == ((N, 3, 4), (N, 3, 3))
    assert prediction.processed_images.shape == (N, H, W, 3)
    assert prediction.processed_images.dtype == np.uint8
    assert 'feat_layer_0' in prediction.aux
    assert prediction.aux['gaussians'] is prediction.gaussians


@row(18)
def gaussians_not_asked_for(place: Place) -> None:
    with pytest.raises(ExportError, match='infer_gs=True'):
        infer(model('-GIANT'), place, export_dir='output', export_format='gs_ply')


@row(19)
def extras(place: Place) -> None:
    parser = ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    assert {'app', 'gs', 'all'} <= set(parser['options.extras_require'])


@row(20)
def on_a_device(place: Place) -> None:
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    network = DepthAnything3.from_pretrained('depth-anything/DA3-SMALL').to(device=device)
    prediction = network.inference(folder_images())
    assert prediction.depth.shape == (3, 42, 56)
    assert prediction.conf is not None
    assert prediction.extrinsics is not None
    assert (prediction.conf.shape, prediction.extrinsics.shape) == ((3, 42, 56), (3, 3, 4))
