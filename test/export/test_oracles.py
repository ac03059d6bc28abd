"""Exports opened by programs that we did not write, where somebody has installed them.

Not dependencies, and not run by default:

    pip install --no-deps --target FOLDER pycolmap
    npm install --prefix OTHER gltf-validator
    DA3_ORACLE=FOLDER DA3_GLTF_VALIDATOR=OTHER python -m pytest -m oracle
"""

from collections.abc import Iterator
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.options.choices import ColmapEncoding
from helpers.export_scenes import synthetic_scene, synthetic_world, true_points, two_walls

PYTHON_FOLDER = os.environ.get('DA3_ORACLE')
VALIDATOR_FOLDER = os.environ.get('DA3_GLTF_VALIDATOR')

VALIDATE = """
const validator = require('gltf-validator');
const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validator.validateBytes(bytes).then(report => console.log(JSON.stringify(report)));
"""

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings('ignore')]


@pytest.fixture
def pycolmap() -> Iterator[Any]:
    if not PYTHON_FOLDER:
        pytest.skip('DA3_ORACLE names no folder with pycolmap')
    sys.path.append(PYTHON_FOLDER)
    yield pytest.importorskip('pycolmap')
    sys.path.remove(PYTHON_FOLDER)


@pytest.mark.parametrize('encoding', ['binary', 'text'])
def test_pycolmap_finds_every_point_where_its_pixels_are(
    pycolmap: Any, tmp_path: Path, encoding: ColmapEncoding
) -> None:
    world = synthetic_world()
    scene = synthetic_scene(world)
    options = ExportOptions(conf_thresh_percentile=0.0, colmap_encoding=encoding)
    export_scene(scene, 'colmap', tmp_path, options=options)
    model = pycolmap.Reconstruction(str(tmp_path))
    truth = true_points(world, scene)
    assert model.num_points3D() == len(truth)
    assert model.num_images() == len(scene.views)
    found = np.array([model.points3D[i].xyz for i in sorted(model.points3D)])
    assert np.linalg.norm(found - truth, axis=1).max() < 1e-3
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() < 1e-6
    for image in model.images.values():
        points = np.array([model.points3D[p.point3D_id].xyz for p in image.points2D])
        in_camera = (image.cam_from_world() * points) if len(points) else points
        pixels = np.array([p.xy for p in image.points2D])
        seen = np.asarray(model.cameras[image.camera_id].img_from_cam(in_camera))
        assert np.abs(seen - pixels).max() < 1e-3


@pytest.mark.skipif(not VALIDATOR_FOLDER, reason='DA3_GLTF_VALIDATOR names no folder')
def test_khronos_finds_nothing_wrong_with_glb(tmp_path: Path) -> None:
    for number, scene in enumerate((two_walls(), synthetic_scene(synthetic_world()))):
        [path] = export_scene(scene, 'glb', tmp_path / str(number)).files
        done = subprocess.run(
            ['node', '-e', VALIDATE, str(path)],
            cwd=VALIDATOR_FOLDER,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        issues = json.loads(done.stdout)['issues']
        assert (issues['numErrors'], issues['numWarnings']) == (0, 0), issues['messages'][:3]
