"""The parts, most valuable first: correctness of every network, then speed, then extras.

Time on an H100 is expected to be far below the limits, which are there for what hangs. All
together they are held to `BUDGET_S`: what no time is left for is skipped and says so.
"""

from collections.abc import Iterator, Sequence

from tools.gpu_check.part import Part

BUDGET_S = 540.0

TIMED = ('da3-small', 'da3-base', 'da3-large', 'da3-giant')
NANO = 'da3-nano'

# Group, its networks, and seconds for weights and stored cases of each.
_GROUPS: Sequence[tuple[str, tuple[str, ...], float]] = (
    ('small', ('da3-small',), 90.0),
    ('base', ('da3-base',), 60.0),
    ('large', ('da3-large',), 60.0),
    # Both have the same synthetic weights, which are made once.
    ('single', ('da3mono-large', 'da3metric-large'), 60.0),
    ('giant', ('da3-giant',), 100.0),
    ('nested', ('da3nested-giant-large',), 100.0),
)
_TINY = 'da3-small'
"""The network that is small enough for a CPU."""


def _of_networks() -> Iterator[Part]:
    for group, presets, limit_s in _GROUPS:
        for preset in presets:
            tiny = preset == _TINY
            yield Part('goldens', preset, group, limit_s, f'{_HERE}.goldens:run', tiny)
            yield Part('precision', preset, group, 45.0, f'{_HERE}.precision:run', tiny)
            yield Part('syncs', preset, group, 30.0, f'{_HERE}.syncs:run')
            yield Part('graphs', preset, group, 60.0, f'{_HERE}.graphs:run')
            if preset in TIMED:
                yield Part('allocations', preset, group, 30.0, f'{_HERE}.allocations:run')
                yield Part('memory', preset, group, 45.0, f'{_HERE}.memory:run')
        if group == 'small':
            yield from _once(group)


def _once(group: str) -> Iterator[Part]:
    """Yield what is the same for every network and is tried on the smallest."""
    yield Part('retry', _TINY, group, 30.0, f'{_HERE}.memory:run_retry')
    yield Part('release', _TINY, group, 30.0, f'{_HERE}.memory:run_release')
    yield Part('moves', _TINY, group, 30.0, f'{_HERE}.moves:run')
    yield Part('transfers', _TINY, group, 30.0, f'{_HERE}.transfers:run')
    yield Part('goldens', 'others', group, 20.0, f'{_HERE}.goldens:run_others', True)


_HERE = 'tools.gpu_check'

PARTS: tuple[Part, ...] = (
    *_of_networks(),
    Part('api', NANO, 'api', 60.0, f'{_HERE}.public_api:run', True),
    Part('engine', NANO, 'api', 30.0, f'{_HERE}.public_api:run_engine', True),
    Part('release', 'node', 'api', 30.0, f'{_HERE}.public_api:run_node_release'),
    Part('api_goldens', 'da3-small', 'api', 45.0, f'{_HERE}.public_api:run_goldens'),
    *(
        Part('windows', preset, 'timing', limit_s, f'{_HERE}.windows:run')
        for preset, limit_s in zip(TIMED, (60.0, 60.0, 90.0, 120.0), strict=True)
    ),
    *(
        Part('timing', preset, 'timing', limit_s, f'{_HERE}.timing:run', preset == _TINY)
        for preset, limit_s in zip(TIMED, (40.0, 40.0, 60.0, 90.0), strict=True)
    ),
    Part('xformers', 'da3-small', 'xformers', 60.0, f'{_HERE}.kernels:run_xformers'),
    # Its first use compiles kernels for minutes.
    Part('gsplat', 'cpu', 'gsplat', 300.0, f'{_HERE}.kernels:run_gsplat'),
)
