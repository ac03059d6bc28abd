"""Where torch is not installed, everything on the way of an image still loads; engines compute."""

import json
import os
from pathlib import Path
import re
import subprocess
import sys
import venv

import numpy as np
import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.inference.random_weights import mark_random, random_network
from helpers.tiny import ANY_VIEW, SINGLE_VIEW

ROOT = Path(__file__).resolve().parent.parent

WITHOUT = "import sys; sys.modules['torch'] = None\n"
"""Makes `import torch` raise, as where it is not installed."""

IMPORTS = (
    WITHOUT
    + """
import importlib, importlib.util, json, pathlib
import da3_ros
folder = pathlib.Path(da3_ros.__file__).parent
names = [path.stem for path in sorted((folder / 'cli').glob('*.py')) if path.stem != '__init__']
for name in ('image', 'images', 'app', 'scene_run', 'single_scene'):
    importlib.import_module(f'da3_ros.cli.{name}')
for name in (
    'inference.engine', 'inference.window_pass', 'inference.preprocess', 'inference.prediction',
    'inference.prediction_export', 'inference.default_model', 'inference.runtimes.choose',
    'inference.runtimes.stored_graphs', 'inference.runtimes.torch_behind', 'pipeline.estimators',
    'pipeline.pipeline', 'export.registry',
):
    importlib.import_module(f'da3_ros.{name}')
early = sorted(name for name in ('scipy', 'trimesh', 'huggingface_hub', 'av', 'rosbags')
               if name in sys.modules)
for name in names:
    importlib.import_module(f'da3_ros.cli.{name}')
try:
    da3_ros.DepthAnything3
except ImportError as error:
    assert 'needs torch, which is not installed' in str(error), error
try:
    import rclpy, da3_ros.msg
except ImportError:
    pass
else:
    importlib.import_module('da3_ros.ros.node.run')
if importlib.util.find_spec('openvino') is not None:
    from da3_ros.process import skip_converters
    skip_converters()
    import openvino
    openvino.Core()
    early += sorted(name for name in sys.modules if name.startswith('openvino_telemetry'))
print(json.dumps(early))
"""
)


def python(code: str, *arguments: str | Path) -> str:
    """Run code in an interpreter of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, arguments)],
        env={**os.environ, 'DA3_RUNTIME': 'auto'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_command_line_and_node_load_without_torch() -> None:
    # What is slow to load waits until it is needed: the first depth comes before.
    assert json.loads(python(IMPORTS)) == []


@pytest.fixture(scope='module')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cv2 = pytest.importorskip('cv2')
    folder = tmp_path_factory.mktemp('pictures')
    rng = np.random.default_rng(0)
    for index in range(3):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        image = cv2.resize(coarse, (56, 42), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{index}.png'), image)
    return folder


DEPTH = (
    WITHOUT
    + """
import sys
from da3_ros.cli.main import run
out, model, *images = sys.argv[1:]
sys.argv = ['da3', 'images', *images, '--model', model, '--process-res', '56', '--export-dir',
            out, '--export-format', 'mini_npz', '--json']
run()
"""
)


@pytest.mark.slow
@pytest.mark.parametrize('config', [ANY_VIEW, SINGLE_VIEW], ids=['any view', 'alone'])
def test_an_engine_gives_the_depth_of_torch(
    config: object, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip('openvino')
    pytest.importorskip('onnxscript')
    from da3_ros.inference.runtimes.graph_export import export_stages

    network = random_network(config, seed=0)  # type: ignore[arg-type]
    mark_random(network)
    export_stages(network, (42, 56), tmp_path / 'engine')
    images = sorted(pictures.iterdir())
    said = json.loads(python(DEPTH, tmp_path / 'out', tmp_path / 'engine', *images))
    assert said['runtime'] == 'openvino'
    assert any('random' in note for note in said['notes'])
    with np.load(tmp_path / 'out' / 'exports' / 'mini_npz' / 'results.npz') as found:
        depth = found['depth']
    save_checkpoint(network, tmp_path / 'weights')
    model = DepthAnything3.from_pretrained(tmp_path / 'weights', runtime='torch')
    expected = model.inference([str(path) for path in images], process_res=56)
    np.testing.assert_allclose(depth, expected.depth, rtol=1e-4, atol=1e-5)


def test_the_light_requirements_are_those_of_the_package_without_torch() -> None:
    def names(file: str) -> set[str]:
        lines = (ROOT / 'requirements' / file).read_text(encoding='utf-8').splitlines()
        return {re.split(r'[=;<>]', line)[0] for line in lines if line and line[0] not in '#-'}

    # Weights in safetensors are what torch computes with.
    assert names('base.txt') - names('light.txt') == {'torch', 'safetensors'}
    assert names('light.txt') - names('base.txt') == {'openvino'}


@pytest.mark.slow
def test_depth_in_an_environment_of_the_light_requirements(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip('onnxscript')
    from da3_ros.inference.runtimes.graph_export import export_stages

    export_stages(random_network(ANY_VIEW, seed=0), (42, 56), tmp_path / 'engine')
    venv.create(tmp_path / 'light', with_pip=True)
    light = tmp_path / 'light' / 'bin'
    pip = (light / 'pip', 'install', '-q')
    variables = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'DA3_RUNTIME')}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [*map(str, command)], env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(*pip, '-r', ROOT / 'requirements' / 'light.txt')
    run(*pip, '--no-deps', ROOT)
    arguments = ('--model', tmp_path / 'engine', '--process-res', '56', '--export-format')
    first = sorted(pictures.iterdir())[0]
    run(light / 'da3', 'image', first, *arguments, 'mini_npz', '--export-dir', tmp_path / 'out')
    with np.load(tmp_path / 'out' / 'exports' / 'mini_npz' / 'results.npz') as found:
        assert np.isfinite(found['depth']).all()
    assert 'torch' not in run(light / 'pip', 'list')
