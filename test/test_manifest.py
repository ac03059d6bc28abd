"""The manifests (setup.cfg, package.xml, CMakeLists.txt, requirements) agree with the sources."""

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
import re
import sys
from xml.etree import ElementTree

import pytest

import da3_ros

_ROOT = Path(__file__).resolve().parent.parent

# Import name, name on PyPI, rosdep key. A key of None: the library has none.
_LIBRARIES: dict[str, tuple[str, str | None]] = {
    'PIL': ('pillow', 'python3-pil'),
    'av': ('av', None),
    'cv2': ('opencv-python-headless', 'python3-opencv'),
    'huggingface_hub': ('huggingface_hub', 'python3-huggingface-hub-pip'),
    'mcap': ('mcap', 'mcap-ros2-support'),
    'numpy': ('numpy', 'python3-numpy'),
    'rich': ('rich', 'python3-rich'),
    'rosbags': ('rosbags', 'python3-rosbags-pip'),
    'safetensors': ('safetensors', None),
    'scipy': ('scipy', 'python3-scipy'),
    'torch': ('torch', 'python3-pytorch-pip'),
    'tqdm': ('tqdm', 'python3-tqdm'),
    'trimesh': ('trimesh', 'python3-trimesh-pip'),
    'typer': ('typer', 'python3-typer'),
    'yaml': ('pyyaml', 'python3-yaml'),
}

# Python libraries that are used where present; package.xml does not name them.
_OPTIONAL = {'viser', 'xformers'}

# Import names of ROS 2 packages that are called otherwise.
_ROS_PACKAGES = {'tf2_ros': 'tf2_ros_py'}


def _setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(_ROOT / 'setup.cfg')
    return parser


def _names(requirements: str) -> set[str]:
    """Return the lower-case distribution names of a list of requirements, one a line."""
    lines = (line.split('#')[0].strip() for line in requirements.splitlines())
    return {re.split(r'[\[<>=!~; ]', line)[0].lower() for line in lines if line}


def _manifest() -> ElementTree.Element:
    return ElementTree.parse(_ROOT / 'package.xml').getroot()


def _depends(*tags: str) -> set[str]:
    return {element.text or '' for tag in tags for element in _manifest().iter(tag)}


def _imported(folder: Path) -> dict[str, Path]:
    """Return the top-level modules that the files of a folder import, with one file of each."""
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob('*.py')):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            else:
                continue
            found.update((name.split('.')[0], file) for name in names)
    return found


def _third_party() -> list[str]:
    own = {'da3_ros', *sys.stdlib_module_names}
    return sorted(set(_imported(_ROOT / 'da3_ros')) - own - _OPTIONAL)


def _interface_files() -> list[Path]:
    return sorted(
        file for kind in ('msg', 'srv', 'action') for file in (_ROOT / kind).glob(f'*.{kind}')
    )


def _packages_in_interfaces() -> Iterator[str]:
    for file in _interface_files():
        yield from re.findall(r'^([a-z][a-z0-9_]*)/[A-Z]', file.read_text(), re.MULTILINE)
        if file.suffix == '.action':
            yield 'action_msgs'


@pytest.mark.parametrize('module', _third_party())
def test_every_import_is_declared(module: str) -> None:
    depends = _depends('depend', 'exec_depend')
    if module not in _LIBRARIES:
        package = _ROS_PACKAGES.get(module, module)
        assert package in depends, f'{package} is imported but not in package.xml'
        return
    distribution, key = _LIBRARIES[module]
    assert distribution in _names(_setup()['options']['install_requires'])
    assert distribution in _names((_ROOT / 'requirements/base.txt').read_text())
    if key is None:
        without_key = (_ROOT / 'requirements/without-rosdep-key.txt').read_text()
        assert distribution in _names(without_key)
    else:
        assert key in depends


def test_pip_requirements_are_the_pinned_ones() -> None:
    declared = _names(_setup()['options']['install_requires'])

    assert declared == _names((_ROOT / 'requirements/base.txt').read_text())


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
