"""Private names of other libraries: each is listed here, with the versions it was seen in.

A private name may go with any release. What is used all the same is found by reading the code,
and looked for in the library that is installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
import importlib.util
from pathlib import Path
import re

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'da3_ros'


@dataclass(frozen=True)
class Use:
    """A private name of a library and where it is used."""

    name: str
    file: str
    """Below da3_ros."""
    module: str
    """Of the library, where the name is made."""
    seen: tuple[str, ...]
    """Versions of the library whose source has the name, as far as they are told apart here."""
    why: str


# Humble, Jazzy, Kilted.
_RCLPY = ('3.3', '7.1', '9.1')

USES = (
    Use(
        '_service_change_state',
        'ros/node/lifecycle.py',
        'rclpy.lifecycle.node',
        _RCLPY,
        'a transition that does not begin in the present state raises, which ends the executor',
    ),
    Use(
        '_state_machine',
        'ros/node/lifecycle.py',
        'rclpy.lifecycle.node',
        _RCLPY,
        'the state has no public name, and the machine keeps the node in the graph',
    ),
    Use(
        '_make_handler',
        'ros/node/executor.py',
        'rclpy.executors',
        _RCLPY,
        'when a message has been taken is said by nothing public',
    ),
    Use(
        '_parameter_overrides',
        'ros/node/node.py',
        'rclpy.node',
        _RCLPY,
        'parameters that were given and never declared have no public name',
    ),
    Use(
        '_apply',
        'inference/runner.py',
        'torch.nn.modules.module',
        ('2',),
        'moves to another device go by no public method',
    ),
    *(
        Use(
            name,
            'inference/runtimes/weight_state.py',
            'torch.nn.modules.module',
            ('2',),
            why,
        )
        for name, why in (
            ('_parameters', 'the public look-up takes longer than a small part of a window'),
            ('_buffers', 'the public look-up takes longer than a small part of a window'),
            ('_forward_hooks', 'whether something is hooked in is said by nothing public'),
            ('_forward_pre_hooks', 'whether something is hooked in is said by nothing public'),
        )
    ),
    Use(
        '_version',
        'model/kept.py',
        'torch.utils.checkpoint',
        ('2',),
        'how often a tensor was written to is said by nothing public',
    ),
    Use(
        '_is_amx_tile_supported',
        'model/tiled_attention.py',
        'torch.cpu',
        ('2',),
        'whether the processor has AMX is said by nothing public; unknown counts as yes',
    ),
    Use(
        '_is_avx512_bf16_supported',
        'model/arithmetic.py',
        'torch.cpu',
        ('2',),
        'whether the processor multiplies bf16 is said by nothing public in older ones; unknown '
        'counts as yes',
    ),
    *(
        Use(
            name,
            'model/onednn.py',
            'torch._inductor.mkldnn_lowerings',
            ('2',),
            'no public operation joins a product of oneDNN with what follows it; without them the '
            'plain ones run',
        )
        for name in ('_linear_pointwise', '_convolution_pointwise')
    ),
    *(
        Use(
            name,
            'web/server.py',
            module,
            ('1.1',),
            'viser has no public hook before it sends its scene',
        )
        for name, module in (
            ('_websock_server', 'viser._viser'),
            ('_live_connections', 'viser.infra._infra'),
            ('_client_connect_cb', 'viser.infra._infra'),
        )
    ),
    Use(
        '_background_event_loop',
        'web/server.py',
        'viser.infra._infra',
        ('1.1',),
        'a client that does not answer is dropped in the loop that serves it',
    ),
    Use(
        '_broadcast_buffer',
        'web/server.py',
        'viser.infra._infra',
        ('1.1',),
        'its event is set by threads that are not those of its loop',
    ),
)

INTERNAL_MODULES = {
    'rclpy.impl.implementation_singleton': 'the error of a handle that is no more',
    'rclpy.impl.rcutils_logger': 'the type of loggers, for annotations',
}
"""Modules that rclpy has for itself, and what of them is used."""


@dataclass
class OwnClass:
    """What a class of this package defines."""

    bases: list[str]
    names: set[str] = field(default_factory=set)


def is_private(name: str) -> bool:
    return name.startswith('_') and not name.startswith('__')


def files() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob('*.py')):
        yield path, ast.parse(path.read_text(encoding='utf-8'))


def own_classes() -> dict[str, OwnClass]:
    """Return every class of the package with the names that it or its methods define."""
    found: dict[str, OwnClass] = {}
    for _, tree in files():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            own = found.setdefault(node.name, OwnClass([]))
            own.bases += [ast.unparse(base).split('[')[0].split('.')[-1] for base in node.bases]
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    own.names.add(inner.name)
                elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    own.names.add(inner.id)
                elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    own.names.add(inner.attr)
    return found


def inherited(name: str, classes: dict[str, OwnClass]) -> set[str]:
    """Return what a class and those of its bases that are ours define."""
    if name not in classes:
        return set()
    return classes[name].names.union(*(inherited(b, classes) for b in classes[name].bases))


def private_uses(
    tree: ast.AST, classes: dict[str, OwnClass], of_anybody: set[str], within: str = ''
) -> Iterator[str]:
    """Yield private attributes that no class of ours defines.

    Args:
        tree: what is read.
        classes: all of ours.
        of_anybody: what any of them defines, for objects of which the class is not known here.
        within: the class around the tree.
    """
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.ClassDef) else within
        yield from private_uses(node, classes, of_anybody, inside)
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            known = of_anybody
            if owner in ('self', 'cls') and within:
                known = inherited(within, classes)
            elif owner == 'super()':
                known = set().union(*(inherited(b, classes) for b in classes[within].bases))
            if node.attr not in known and owner != 'os':  # os._exit is documented
                yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ('getattr', 'hasattr'):
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield str(name.value)


def test_every_private_name_of_a_library_is_listed() -> None:
    classes = own_classes()
    of_anybody = set().union(*(own.names for own in classes.values()))
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path, tree in files()
        for name in private_uses(tree, classes, of_anybody)
    }
    assert found == {(use.file, use.name) for use in USES}


def test_internal_modules_of_rclpy_are_listed() -> None:
    text = '\n'.join(path.read_text(encoding='utf-8') for path in PACKAGE.rglob('*.py'))
    assert set(re.findall(r'rclpy\.impl\.\w+', text)) == set(INTERNAL_MODULES)


@pytest.mark.parametrize('use', USES, ids=lambda use: use.name)
def test_the_installed_version_was_seen_and_has_the_name(use: Use) -> None:
    library = use.module.split('.')[0]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f'{library} is not installed')
    version = metadata.version(library)
    is_seen = any(version == v or version.startswith(f'{v}.') for v in use.seen)
    assert is_seen, f'{library} {version}: look whether {use.name} still means: {use.why}'
    spec = importlib.util.find_spec(use.module)
    assert spec is not None
    assert spec.origin is not None
    assert re.search(rf'\b{use.name}\b', Path(spec.origin).read_text(encoding='utf-8'))
