"""Loading takes hardly more memory than what is loaded, and no random numbers."""

import os
from pathlib import Path
import subprocess
import sys
import textwrap

import pytest
import torch

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import load_network, save_checkpoint
from da3_ros.model.arithmetic import Arithmetic, narrow_parameters
from da3_ros.model.presets import PRESETS
from helpers.rounding import assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

CPU = torch.device('cpu')
STATUS = Path('/proc/self/status')
MAX_SHARE = 1.15

LOAD = textwrap.dedent("""
    import sys
    from pathlib import Path
    import torch
    from da3_ros.inference.checkpoint import load_network
    from da3_ros.model.arithmetic import Arithmetic
    from da3_ros.model.build import build_network
    from da3_ros.model.presets import PRESETS

    def status(key):
        lines = Path('/proc/self/status').read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

    build_network(PRESETS['da3-small'])
    arithmetic = Arithmetic(sys.argv[2])
    Path('/proc/self/clear_refs').write_text('5')
    before = status('VmRSS')
    network = load_network(sys.argv[1], arithmetic=arithmetic)
    if sys.argv[3] == 'touched':
        total = sum(float(value.sum()) for value in network.parameters())
    print(status('VmHWM') - before)
""")


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('small')
    save_checkpoint(synthetic_network(PRESETS['da3-small']), folder)
    return folder


def peak_bytes(saved: Path, precision: str, use: str) -> int:
    """Return by how much a fresh process grows at most."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, '-c', LOAD, str(saved), precision, use],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not STATUS.exists(), reason='needs the process file system of Linux')
@pytest.mark.parametrize(('precision', 'bytes_per_value'), [('fp32', 4), ('bf16', 2)])
def test_peak_memory_is_that_of_the_file_in_the_target_type(
    saved: Path, precision: str, bytes_per_value: int
) -> None:
    values = (saved / 'model.safetensors').stat().st_size / 4
    assert values * 4 > 100e6
    assert peak_bytes(saved, precision, 'loaded') <= MAX_SHARE * bytes_per_value * values


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason='needs the process file system of Linux')
def test_even_when_every_parameter_has_been_read(saved: Path) -> None:
    network = load_network(saved, arithmetic=Arithmetic('bf16'))
    for precision, parameters in (('fp32', load_network(saved)), ('bf16', network)):
        held = sum(value.nbytes for value in parameters.parameters())
        assert peak_bytes(saved, precision, 'touched') <= MAX_SHARE * held


def test_weights_are_converted_as_torch_converts_them(saved: Path) -> None:
    exact = dict(load_network(saved).named_parameters())
    network = load_network(saved, arithmetic=Arithmetic('bf16'))
    narrow = narrow_parameters(network, torch.device('cpu'))
    for name, value in network.named_parameters():
        wanted = torch.bfloat16 if name in narrow else torch.float32
        assert value.dtype == wanted
        assert torch.equal(value, exact[name].to(wanted)), name


def test_loading_in_16_bits_equals_converting_afterwards(saved: Path) -> None:
    images = torch.linspace(-1, 1, 2 * 3 * 28 * 42).reshape(1, 2, 3, 28, 42)
    loaded = DepthAnything3.from_pretrained(saved, precision='bf16')
    assert (loaded.precision, loaded.dtype) == ('bf16', torch.bfloat16)
    converted = DepthAnything3.from_pretrained(saved)
    assert (converted.precision, converted.dtype) == ('auto', torch.float32)
    converted.arithmetic = Arithmetic('bf16')
    kept = dict(converted.named_parameters())
    for name, value in loaded.named_parameters():
        assert torch.equal(value, kept[name]), name
    # Where a sum lies in the middle of two numbers of 16 bits, rounding decides.
    assert_equal_to_rounding(loaded(images).depth, converted(images).depth, 3e-2)


def test_nothing_random_is_drawn(saved: Path) -> None:
    state = torch.get_rng_state()
    DepthAnything3.from_pretrained(saved, precision='bf16')
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_tensors_go_straight_to_the_device(saved: Path) -> None:
    model = DepthAnything3.from_pretrained(saved, map_location='cuda')
    assert all(value.device.type == 'cuda' for value in model.parameters())
    assert model.dtype in (torch.bfloat16, torch.float16)
