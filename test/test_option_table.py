"""One option table: no signature, dataclass or type of the package says anything a second time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from da3_ros.options.table import OptionSpec, specs_of
from helpers.option_groups import GROUPS, entries

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'da3_ros'
SPECS = entries()
BY_NAME: dict[str, OptionSpec] = {spec.name: spec for spec in SPECS}

LITERAL = {
    ('inference/api.py', 'inference'): 'the public signature, literal for IDEs',
    ('inference/api.py', '__init__'): 'the same of the constructor',
    ('inference/api.py', 'from_pretrained'): 'the same of loading',
    ('inference/prediction.py', 'export'): 'the same of exporting',
    ('model/config.py', 'AnyViewConfig'): 'the size that a network was trained for',
}
"""Where options have literal defaults, which test_api_table.py compares with the table."""

HOMONYMS = {
    'cameras': 'of a synthetic room or a flight, not those of the node',
    'conditioning': 'what a window was conditioned by, or whether one may be at all',
    'device': 'of tensors, not the choice of a user',
    'rounding': 'the format that values are rounded to inside a network',
}
"""Names of the table that mean something else elsewhere in the package."""


@dataclass(frozen=True)
class Declared:
    """A parameter or a field with a default or choices."""

    place: str
    owner: str
    name: str
    default: ast.expr | None
    annotation: ast.expr | None

    def __str__(self) -> str:
        return f'{self.place} {self.owner}({self.name})'


def modules() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob('*.py')) if p.parent.name != 'options']


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


def declared(path: Path) -> Iterator[Declared]:
    """Yield the parameters of all functions and the fields of all classes of a module."""
    place = path.relative_to(PACKAGE).as_posix()
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            a = node.args
            first = [*a.posonlyargs, *a.args]
            defaults = [None] * (len(first) - len(a.defaults)) + list(a.defaults)
            pairs = [*zip(first, defaults, strict=True)]
            pairs += zip(a.kwonlyargs, a.kw_defaults, strict=True)
            for parameter, default in pairs:
                yield Declared(place, node.name, parameter.arg, default, parameter.annotation)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield Declared(place, node.name, line.target.id, line.value, line.annotation)


def names_from_table(path: Path) -> set[str]:
    """Return the names that a module has from da3_ros.options."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('da3_ros.options'):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def is_from_table(d: Declared, known: set[str]) -> bool:
    """Whether a default is the same field of an object of the table, or says nothing."""
    value = d.default
    if isinstance(value, ast.Constant) and value.value is None:
        return True
    return (
        isinstance(value, ast.Attribute)
        and isinstance(value.value, ast.Name)
        and value.value.id in known
        and value.attr == d.name
    )


def strings_in(node: ast.AST) -> set[str]:
    return {
        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }


def test_the_walk_sees_what_it_shall_see() -> None:
    found = {str(d) for path in modules() for d in declared(path)}
    assert len(found) > 500
    assert 'inference/api.py inference(use_ray_pose)' in found
    assert {'use_ray_pose', 'process_res', 'export_format', 'window'} <= set(BY_NAME)


def test_no_default_is_stated_a_second_time() -> None:
    wrong = []
    for path in modules():
        known = names_from_table(path)
        for d in declared(path):
            if d.default is None or d.name not in BY_NAME or d.name in HOMONYMS:
                continue
            if (d.place, d.owner) not in LITERAL and not is_from_table(d, known):
                wrong.append(f'{d} = {ast.unparse(d.default)}')
    assert not wrong, '\n'.join(wrong)


def test_no_choice_is_a_default_under_another_name() -> None:
    """Of the choices whose words belong to the table alone."""
    own = {choice for spec in SPECS for choice in spec.choices if '_' in choice}
    assert {'saddle_balanced', 'upper_bound_resize', 'best_effort'} <= own
    wrong = [
        str(d)
        for path in modules()
        for d in declared(path)
        if isinstance(d.default, ast.Constant) and d.default.value in own
        and (d.place, d.owner) not in LITERAL
    ]  # fmt: skip
    assert not wrong, wrong


def test_no_choices_are_listed_a_second_time() -> None:
    """Neither as Literal, tuple, list or set of constants, nor as an enumeration."""
    lists = {spec.choices for spec in SPECS if len(spec.choices) > 1}
    wrong = []
    for path in modules():
        for node in ast.walk(parsed(path)):
            if not isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.ClassDef)):
                continue
            values: set[str] = set()
            if not isinstance(node, ast.ClassDef):
                items = [e.value for e in node.elts if isinstance(e, ast.Constant)]
                values = {str(v) for v in items} if len(items) == len(node.elts) else set()
            else:
                assigned = [s.value for s in node.body if isinstance(s, ast.Assign)]
                values = {str(v.value) for v in assigned if isinstance(v, ast.Constant)}
            if values and any(values == set(choices) for choices in lists):
                wrong.append(f'{path.relative_to(PACKAGE)}:{node.lineno} {sorted(values)}')
    assert not wrong, '\n'.join(wrong)


def test_no_type_of_an_option_lists_choices() -> None:
    """A parameter of that name has the type of the table."""
    wrong = [
        str(d)
        for path in modules()
        for d in declared(path)
        if d.name in BY_NAME and BY_NAME[d.name].choices and d.annotation is not None
        and strings_in(d.annotation) & set(BY_NAME[d.name].choices)
    ]  # fmt: skip
    assert not wrong, wrong


def test_every_exception_is_still_needed() -> None:
    at = {(d.place, d.owner) for path in modules() for d in declared(path) if d.default}
    assert set(LITERAL) <= at
    names = {d.name for path in modules() for d in declared(path) if d.default}
    assert set(HOMONYMS) <= names


@pytest.mark.parametrize('group', GROUPS, ids=lambda g: g.__name__)
def test_the_type_of_a_field_has_the_choices_of_its_entry(group: type) -> None:
    hints = get_type_hints(group)
    for spec in specs_of(group):
        kinds = {hints[spec.name], *get_args(hints[spec.name])} - {NoneType}
        literal = [kind for kind in kinds if get_origin(kind) is Literal]
        assert [get_args(kind) for kind in literal] == ([spec.choices] if spec.choices else [])


def test_entries_are_whole() -> None:
    """Every entry has a sentence, at least one entrance, and a default within its own limits."""
    for spec in SPECS:
        assert spec.summary.endswith('.')
        assert len(spec.help) > 15
        assert spec.entrances, spec.name
        assert set(spec.variants) <= set(spec.entrances), spec.name
