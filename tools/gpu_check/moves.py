"""A network that goes to the CPU and comes back computes what it did."""

from da3_ros.inference.runner import NetworkRunner
from da3_ros.model.arithmetic import Arithmetic
from tools.gpu_check.bench import TINY_SIZE, bench_of, computed_in
from tools.gpu_check.part import Outcome, Settings
from tools.parity.checks import BOUND, array
from tools.parity.goldens import Array, max_relative_error

VIEWS = 2


def run(settings: Settings, preset: str) -> Outcome:
    """Compare device, CPU and device again, and look at what `auto` becomes on each."""
    bench = bench_of(settings)
    bench.need_cuda()
    runner = bench.runner(preset)
    pixels = bench.pixels(VIEWS, TINY_SIZE)

    def depth() -> Array:
        return array(runner(pixels.to(runner.device)).depth)

    first = depth()
    runner.to('cpu')
    on_cpu = depth()
    runner.to(bench.device)
    again = depth()
    errors = {
        'CPU': max_relative_error(on_cpu, first),
        'device again': max_relative_error(again, first),
    }
    failures = [f'{where}: depth differs by {e:.3g}' for where, e in errors.items() if e > BOUND]
    formats = _formats(runner)
    if formats[0] == 'torch.float32' or formats[1] != 'torch.float32' or formats[2] != formats[0]:
        failures.append(f'auto became {", ".join(formats)}; 16 bits, float32, 16 bits expected')
    text = f'depth differs by {errors["CPU"]:.2g} on the CPU, {errors["device again"]:.2g} after'
    return Outcome(text, tuple(failures), {'errors': errors, 'auto': formats})


def _formats(runner: NetworkRunner) -> list[str]:
    """Return what `auto` becomes on the device, on the CPU, and on the device again."""
    device = runner.device
    found = []
    with computed_in(runner, Arithmetic('auto')):
        for place in (device, 'cpu', device):
            runner.to(place)
            weight = runner.model.get_parameter('backbone.pretrained.blocks.0.attn.qkv.weight')
            found.append(str(weight.dtype))
    return found
