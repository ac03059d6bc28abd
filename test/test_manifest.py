"""The manifests agree with one another; test_dependencies.py compares them with the imports."""

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
import re
from xml.etree import ElementTree

import pytest

import da3_ros

_ROOT = Path(__file__).resolve().parent.parent


def _setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(_ROOT / 'setup.cfg')
    return parser


def _manifest() -> ElementTree.Element:
    return ElementTree.parse(_ROOT / 'package.xml').getroot()


def _depends(*tags: str) -> set[str]:
    return {element.text or '' for tag in tags for element in _manifest().iter(tag)}


def _interface_files() -> list[Path]:
    return sorted(
        file for kind in ('msg', 'srv', 'action') for file in (_ROOT / kind).glob(f'*.{kind}')
    )


def _packages_in_interfaces() -> Iterator[str]:
    for file in _interface_files():
        yield from re.findall(r'^([a-z][a-z0-9_]*)/[A-Z]', file.read_text(), re.MULTILINE)
        if file.suffix == '.action':
            yield 'action_msgs'


@pytest.mark.parametrize('name', ['base', 'test', 'build', 'ros-jazzy', 'ros-kilted'])
def test_requirements_of_make_are_exact(name: str) -> None:
    lines = (_ROOT / f'requirements/{name}.txt').read_text().splitlines()
    loose = [
        line
        for line in lines
        if line.strip()
        and not line.startswith('#')
        and not re.match(r'[A-Za-z0-9_.\[\]-]+==[0-9][^*]*$', line.split(';')[0].strip())
    ]

    assert loose == []


def test_interfaces_are_generated_with_the_packages_they_use() -> None:
    cmake = (_ROOT / 'CMakeLists.txt').read_text()
    generate = re.search(r'rosidl_generate_interfaces\((.*?)\)', cmake, re.DOTALL)
    assert generate is not None
    files, dependencies = generate.group(1).split('DEPENDENCIES')

    used = set(_packages_in_interfaces())

    assert set(dependencies.split()) == used
    assert used <= set(re.findall(r'find_package\((\w+) REQUIRED\)', cmake))
    assert used <= _depends('depend')
    listed = re.findall(r'"([^"]+)"', files)
    assert sorted(listed) == [str(file.relative_to(_ROOT)) for file in _interface_files()]


def test_version_is_the_same_everywhere() -> None:
    changelog = (_ROOT / 'CHANGELOG.rst').read_text()
    newest = re.search(r'^(\d+\.\d+\.\d+) \(', changelog, re.MULTILINE)
    assert newest is not None

    assert _manifest().findtext('version') == da3_ros.__version__
    assert newest.group(1) == da3_ros.__version__
    assert _setup()['metadata']['version'] == 'attr: da3_ros.__version__'


def test_commands_lead_to_functions_that_exist() -> None:
    entries = _setup()['options.entry_points']['console_scripts'].strip().splitlines()

    for entry in entries:
        module, function = entry.split('=')[1].strip().split(':')
        tree = ast.parse((_ROOT / f'{module.replace(".", "/")}.py').read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in names, f'{module} has no function {function}'


def test_maintainer_has_an_address_that_colcon_accepts() -> None:
    maintainer = _manifest().find('maintainer')

    assert maintainer is not None
    assert re.fullmatch(r'[\w.+-]+@[\w-]+(\.[\w-]+)+', maintainer.get('email', ''))
