"""The process's choice of TF32 is its own again after every forward pass."""

from collections.abc import Callable
from contextlib import ExitStack
import json
import subprocess
import sys
from threading import Barrier, Event, Thread
from typing import Any

import pytest
import torch
from torch import Tensor

from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runner import NetworkRunner
from da3_ros.inference.tf32 import float32_products, set_old
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.backbone import Backbone
from helpers.patience import BLOCKED_S
from helpers.tiny import ANY_VIEW

CUDA = torch.device('cuda')
"""Only named: the choice can be set and read without one."""

HABITS = """
import json, os, torch, warnings
from da3_ros.inference.tf32 import float32_products

warnings.simplefilter('ignore')
backends = torch.backends
cuda, conv, matmul = backends.cudnn, backends.cudnn.conv, backends.cuda.matmul
READ = {
    'matmul': lambda: matmul.allow_tf32,
    'cudnn': lambda: backends.cudnn.allow_tf32,
    'precision': torch.get_float32_matmul_precision,
    **{
        name: lambda level=level: level.fp32_precision
        for name, level in {
            'all': backends, 'cuda': cuda, 'conv': conv, 'rnn': cuda.rnn, 'products': matmul
        }.items()
    },
}

def read():
    found = {}
    for name, how in READ.items():
        try:
            found[name] = str(how())
        except RuntimeError:
            found[name] = 'torch does not say'
    return found

def new(*levels, value):
    for level in levels:
        level.fp32_precision = value

HOSTS = {
    'untouched': lambda: None,
    'medium': lambda: torch.set_float32_matmul_precision('medium'),
    'old matmul': lambda: setattr(matmul, 'allow_tf32', True),
    'old cudnn': lambda: setattr(backends.cudnn, 'allow_tf32', False),
    'new all': lambda: new(backends, value='tf32'),
    'new cuda': lambda: new(cuda, value='ieee'),
    'new all and cuda': lambda: new(backends, cuda, value='tf32'),
    'new products': lambda: new(matmul, conv, value='tf32'),
}
LATER = {
    'nothing': lambda: None,
    'all off': lambda: new(backends, value='ieee'),
    'cuda on': lambda: new(cuda, value='tf32'),
    'all on, cuda open': lambda: (new(backends, value='tf32'), new(cuda, value='none')),
}

def ours():
    for tf32 in (False, True):
        with float32_products(torch.device('cuda'), tf32=tf32):
            wanted = 'tf32' if tf32 else 'ieee'
            assert (conv.fp32_precision, matmul.fp32_precision) == (wanted, wanted)

def child(host, use, later):
    # In a process of its own: what torch was never told cannot be brought back.
    reader, writer = os.pipe()
    if os.fork() == 0:
        host(), use(), later()
        os.write(writer, json.dumps(read()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        return json.loads(said.read())

print(json.dumps({
    f'{host}, {later}': [
        child(HOSTS[host], use, LATER[later]) for use in (lambda: None, ours)
    ]
    for host in HOSTS for later in LATER
}))
"""


def test_a_program_goes_on_as_if_no_pass_had_been() -> None:
    """Whatever it had set before, and whatever it sets later."""
    if not hasattr(torch.backends.cudnn, 'conv'):
        pytest.skip('torch before 2.9 has no levels of settings')
    done = subprocess.run(
        [sys.executable, '-c', HABITS], capture_output=True, text=True, check=True
    )
    for case, (without, after) in json.loads(done.stdout).items():
        assert after == without, case


def test_float32_products_are_float32_on_cuda_only_while_running() -> None:
    matmul: Any = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    with float32_products(CUDA, tf32=False):
        assert matmul.fp32_precision == 'ieee'
    with float32_products(CUDA, tf32=True):
        assert matmul.fp32_precision == 'tf32'
    assert matmul.fp32_precision == before


def test_names_of_older_torch_keep_the_third_precision() -> None:
    """`allow_tf32` of products is a bool, but there are three precisions of them."""
    before = torch.get_float32_matmul_precision()
    with ExitStack() as undo:
        undo.callback(torch.set_float32_matmul_precision, before)
        torch.set_float32_matmul_precision('medium')
        for tf32, precision in ((False, 'highest'), (True, 'high')):
            with ExitStack() as own:
                set_old(own, tf32)
                assert torch.get_float32_matmul_precision() == precision
                assert torch.backends.cudnn.allow_tf32 is tf32
            assert torch.get_float32_matmul_precision() == 'medium'


@pytest.fixture
def on_cuda(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], NetworkRunner]:
    """Return what makes networks that believe to be on CUDA; they compute on the CPU."""

    def make(tf32: bool) -> NetworkRunner:
        return NetworkRunner(random_network(ANY_VIEW, seed=0), Arithmetic('fp32', tf32=tf32), 1)

    monkeypatch.setattr(NetworkRunner, 'device', property(lambda _: CUDA))
    return make


def at_encode(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something in the middle of every forward pass."""
    encode = Backbone.encode

    def encode_and_act(self: Backbone, *inputs: Any, **options: Any) -> Any:
        act()
        return encode(self, *inputs, **options)

    monkeypatch.setattr(Backbone, 'encode', encode_and_act)


def setting() -> tuple[str, str]:
    backends: Any = torch.backends
    return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision


def picture() -> Tensor:
    return torch.zeros(1, 1, 3, 28, 28)


def test_an_error_leaves_the_setting_as_it_was(
    on_cuda: Callable[[bool], NetworkRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = setting(), []

    def fail() -> None:
        seen.append(setting())
        raise ValueError('in the middle')

    at_encode(monkeypatch, fail)
    with pytest.raises(ValueError, match='in the middle'):
        on_cuda(True)(picture())
    assert seen == [('tf32', 'tf32')]
    assert setting() == before


def test_two_networks_on_two_threads_share_the_setting(
    on_cuda: Callable[[bool], NetworkRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first to end does not take it from the other, and the last one takes it back."""
    before, seen = setting(), []
    both_in, first_out = Barrier(2, timeout=BLOCKED_S), Event()
    networks = [on_cuda(False), on_cuda(False)]

    def work(network: NetworkRunner) -> None:
        network(picture())
        first_out.set()

    def meet() -> None:
        if both_in.wait() == 0:
            assert first_out.wait(BLOCKED_S)
            seen.append(setting())

    at_encode(monkeypatch, meet)
    threads = [Thread(target=work, args=(network,)) for network in networks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BLOCKED_S)
    assert seen == [('ieee', 'ieee')]
    assert setting() == before


def test_networks_of_different_formats_wait_for_each_other(
    on_cuda: Callable[[bool], NetworkRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = setting(), []
    networks = {tf32: on_cuda(tf32) for tf32 in (False, True)}
    second = Thread(target=lambda: networks[True](picture()))

    def start_the_other() -> None:
        seen.append(setting())
        if len(seen) == 1:
            second.start()
            # Long enough for it to get in, if anything let it.
            second.join(0.2)
            seen.append(setting())

    at_encode(monkeypatch, start_the_other)
    networks[False](picture())
    second.join(BLOCKED_S)
    assert seen == [('ieee', 'ieee'), ('ieee', 'ieee'), ('tf32', 'tf32')]
    assert setting() == before
