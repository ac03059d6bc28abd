"""Plain data of others: what is a number and what is a text, and bounds of everything."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from da3_ros.plain_data import (
    MAX_DEPTH,
    MAX_VALUES,
    MAX_YAML_BYTES,
    PlainDataError,
    json_of,
    read_json,
    read_yaml,
    yaml_of,
)

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('0', 0),
        ('-12', -12),
        ('1_000', 1000),
        ('0x1F', 31),
        ('1.5', 1.5),
        ('-.5', -0.5),
        ('1e-3', 0.001),
        ('.inf', math.inf),
        ('yes', True),
        ('OFF', False),
        ('~', None),
        ('', None),
        # YAML 1.1 makes something else of these, or fails.
        ('0x_', '0x_'),
        ('010', '010'),
        ('12:30', '12:30'),
        ('0b11', '0b11'),
        ('2001-13-45', '2001-13-45'),
        ('2001-01-02', '2001-01-02'),
        ('1:1:1:1', '1:1:1:1'),
        ('=', '='),
        ('9' * 500, '9' * 500),
    ],
)
def test_a_text_is_a_number_only_where_it_is_one(text: str, value: Any) -> None:
    found = yaml_of(f'a: {text}\n')['a']
    assert found == value
    assert type(found) is type(value)


def test_merged_mappings_and_aliases_are_read() -> None:
    assert yaml_of('x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}')['y'] == {'a': 1, 'b': 3}
    assert yaml_of('- &a [1]\n- *a') == [[1], [1]]


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('a: 1\nb: [', 'line 2: .*'),
        ('a: 1\na: 2', 'line 2: a: given twice'),
        ('? [a]\n: 1', 'line 1: a key is no text'),
        ('a:\n- !!int x', "line 2: 'x' is no int"),
        ('!!python/name:os.system x', 'line 1: could not determine .*'),
        ('!!timestamp x', 'line 1: could not determine .*'),
        ('!!map [1]', 'line 1: .* is no map'),
        ('&a [*a]', 'line 1: an alias stands inside itself'),
        ('a: \0', 'unacceptable character .*'),
        (b'a: 1\nb: caf\xe9', 'line 2: expected UTF-8 text, got byte 0xe9'),
        ('[' * 500, f'line 1: expected at most {MAX_DEPTH} .*'),
        ('a: 1\n' * MAX_YAML_BYTES, f'expected at most {MAX_YAML_BYTES} bytes, .*'),
        (f'!!int {"1:" * 1000}1', "line 1: '1:1:.* is no int"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str | bytes, said: str) -> None:
    with pytest.raises(PlainDataError, match=rf'\A{said}\Z'):
        yaml_of(text)


def test_aliases_count_with_what_they_stand_for() -> None:
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    lines += [f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 10)}]' for n in range(1, 4)]
    assert len(yaml_of('\n'.join(lines))['a3'][0][0]) == 10
    lines.append(f'b: [{", ".join(["*a3"] * 10)}]')
    with pytest.raises(PlainDataError, match=f'line 5: expected at most {MAX_VALUES} values'):
        yaml_of('\n'.join(lines))
    # Merged keys are copied, where aliases are not.
    merged = ['m0: &m0 {a: 1}']
    merged += [f'm{n}: &m{n} {{<<: [{", ".join([f"*m{n - 1}"] * 8)}]}}' for n in range(1, 9)]
    with pytest.raises(PlainDataError, match=f'at most {MAX_VALUES} values'):
        yaml_of('\n'.join(merged))


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('{"a":', 'Expecting value: .*'),
        ('[' * 100_000, 'it is nested too deeply'),
        ('[' * 60 + ']' * 60, f'expected at most {MAX_DEPTH} .*'),
        ('[NaN]', 'NaN is no JSON'),
        ('9' * 1000, 'a number has 1000 digits'),
        (b'"\xff"', 'line 1: expected UTF-8 text, got byte 0xff'),
    ],
)
def test_what_is_no_plain_json_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(PlainDataError, match=rf'\A{said}\Z'):
        json_of(text)


def test_json_within_the_bounds_is_read() -> None:
    deepest = '[' * MAX_DEPTH + ']' * MAX_DEPTH
    assert json_of(deepest) is not None
    assert json_of('\ufeff{"a": [1, 2.5, null]}'.encode()) == {'a': [1, 2.5, None]}
    with pytest.raises(PlainDataError, match='at most 3 bytes'):
        json_of('"abc"', 3)


def test_a_device_is_no_file() -> None:
    for read in (read_yaml, read_json):
        with pytest.raises(ValueError, match='expected a regular file'):
            read(Path('/dev/zero'))
        with pytest.raises(ValueError, match='expected a regular file'):
            read(ROOT)


@pytest.mark.parametrize(
    'path',
    sorted([*(ROOT / 'config').rglob('*.yaml'), *(ROOT / 'rviz').glob('*.rviz')]),
    ids=lambda path: path.name,
)
def test_our_own_files_mean_what_other_readers_take_them_for(path: Path) -> None:
    assert read_yaml(path) == yaml.safe_load(path.read_text(encoding='utf-8'))


def test_nobody_else_loads_yaml() -> None:
    users = {
        path.relative_to(ROOT / 'da3_ros').as_posix()
        for path in (ROOT / 'da3_ros').rglob('*.py')
        if 'yaml.load' in (text := path.read_text(encoding='utf-8')) or 'yaml.safe_load' in text
    }
    assert users == {'plain_data.py'}
