"""`da3 doctor`: what it finds, with advice."""

from configparser import ConfigParser
import json
from pathlib import Path
import re
import sys
from typing import NamedTuple

import pytest

from da3_ros.cli import doctor_checks, doctor_opencv, doctor_ros
from da3_ros.cli.doctor_checks import REQUIRED, Check
from da3_ros.cli.doctor_ros import transport
from helpers.cli import invoke

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / 'config' / 'fastdds.xml'


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_requirements_are_those_of_the_package() -> None:
    setup = ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    lines = setup['options']['install_requires'].split()
    assert {name: least for name, (_, least) in REQUIRED.items()} == dict(
        line.split('>=') for line in lines
    )


def test_every_check_is_told(tmp_path: Path) -> None:
    result = invoke('doctor', '--json', '--export-dir', tmp_path)
    content = json.loads(result.stdout)
    checks = {check['name']: check for check in content['checks']}
    expected = {
        'Python',
        'packages',
        'torch',
        'GPU',
        'memory',
        'weights',
        'disk: results',
        'ROS 2',
    }
    assert expected <= set(checks)
    assert checks['packages']['status'] == 'ok'
    assert content['problems'] == sum(c['status'] == 'problem' for c in checks.values())
    assert result.exit_code == (1 if content['problems'] else 0)
    assert all(c['advice'] for c in checks.values() if c['status'] in ('warning', 'problem'))


def test_a_problem_is_the_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor_checks,
        'check_memory',
        lambda: Check('memory', 'problem', 'none [left]', 'buy some'),
    )
    result = invoke('doctor', '--export-dir', tmp_path)
    assert result.exit_code == 1
    assert 'none [left]' in result.stdout
    assert 'buy some' in result.stdout


def test_missing_and_old_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    required = {'no_such_library': ('no_such_library', '1'), 'numpy': ('numpy', '999')}
    monkeypatch.setattr(doctor_checks, 'REQUIRED', required)
    check = next(doctor_checks.check_packages())
    assert check.status == 'problem'
    assert 'no_such_library is missing' in check.detail
    assert re.search(r'numpy is \d\S+, 999 is needed', check.detail)
    assert check.advice == 'pip install "no_such_library>=1" "numpy>=999"'


def installed(folder: Path, *packages: tuple[str, str]) -> None:
    """Make what pip leaves of distributions, all of them with the folder cv2."""
    for name, version in packages:
        info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        text = f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        (info / 'METADATA').write_text(text)
        (info / 'RECORD').write_text('cv2/__init__.py,,\n')


@pytest.mark.parametrize('can_be_imported', [True, False])
def test_two_opencv_in_one_folder_are_named(
    can_be_imported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, ('opencv-python', '4.9.0.80'), ('opencv-python-headless', '4.10.0.84'))
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    failure = None if can_be_imported else 'ImportError: libGL.so.1'
    monkeypatch.setattr(doctor_opencv, 'import_failure', lambda _: failure)

    (check,) = doctor_opencv.check_opencv()

    assert check.status == ('warning' if can_be_imported else 'problem')
    assert 'opencv-python 4.9.0.80 and opencv-python-headless 4.10.0.84' in check.detail
    assert can_be_imported or 'libGL.so.1' in check.detail
    assert check.advice == (
        'pip uninstall -y opencv-python opencv-python-headless '
        '&& pip install opencv-python-headless'
    )


def test_of_two_opencv_the_larger_one_is_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, ('opencv_contrib_python', '4.9.0'), ('opencv-python-headless', '4.9.0'))
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    monkeypatch.setattr(doctor_opencv, 'import_failure', lambda _: None)
    (check,) = doctor_opencv.check_opencv()
    assert check.advice.endswith('pip install opencv-contrib-python')


@pytest.mark.parametrize('packages', [(), (('opencv-python', '4.9.0.80'),)])
def test_one_opencv_or_that_of_the_system_is_no_clash(
    packages: tuple[tuple[str, str], ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, *packages)
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert list(doctor_opencv.check_opencv()) == []


@pytest.mark.parametrize(('free_gib', 'status'), [(0.5, 'problem'), (3, 'warning'), (100, 'ok')])
def test_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, status: str
) -> None:
    monkeypatch.setattr('shutil.disk_usage', lambda _: Usage(0, 0, int(free_gib * 2**30)))
    checks = by_name(list(doctor_checks.check_disks(tmp_path / 'new' / 'folder')))
    assert checks['disk: results'].status == status


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    checks = by_name(list(doctor_checks.check_disks(tmp_path / 'file')))
    assert checks['disk: results'].status == 'problem'


def test_weights_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.delenv('HF_HUB_OFFLINE', raising=False)
    assert doctor_checks.check_weights().status == 'note'
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    check = doctor_checks.check_weights()
    assert check.status == 'warning'
    assert 'hf download' in check.advice
    monkeypatch.setenv('HF_ENDPOINT', 'https://user:secret@mirror.example')
    check = doctor_checks.check_weights()
    assert 'https://mirror.example' in check.advice
    assert 'secret' not in check.advice
    monkeypatch.setenv('HF_ENDPOINT', 'mirror.example')
    assert doctor_checks.check_weights().status == 'problem'


def test_without_ros_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_ros, 'import_failure', lambda _: 'No module named rclpy')
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    (check,) = doctor_ros.check_ros()
    assert check.status == 'note'
    assert 'make env && . .build/jazzy/env.sh' in check.advice
    assert list(doctor_ros.check_transport()) == []
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    (check,) = doctor_ros.check_ros()
    assert check.status == 'problem'
    assert 'No module named rclpy' in check.detail


def test_import_failures_are_told() -> None:
    assert doctor_ros.import_failure('json') is None
    failure = doctor_ros.import_failure('no_such_module')
    assert failure is not None
    assert 'no_such_module' in failure


def test_the_profile_of_this_package_is_fine() -> None:
    for distro, variable in (
        ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ):
        check = transport({'ROS_DISTRO': distro, variable: str(PROFILE)})
        assert check.status == 'ok', check


def test_a_profile_that_is_not_read_does_not_count() -> None:
    check = transport({'ROS_DISTRO': 'jazzy', 'FASTDDS_DEFAULT_PROFILES_FILE': str(PROFILE)})
    assert check.status == 'warning'
    assert 'export FASTRTPS_DEFAULT_PROFILES_FILE=' in check.advice


@pytest.mark.parametrize(
    ('content', 'status'),
    [
        (None, 'problem'),
        ('no xml', 'problem'),
        ('<dds><profiles/></dds>', 'problem'),
        (
            '<dds><transport_descriptor><type>SHM</type><maxMessageSize>1000</maxMessageSize>'
            '<segment_size>1000</segment_size></transport_descriptor></dds>',
            'warning',
        ),
    ],
)
def test_profiles_that_do_not_help(tmp_path: Path, content: str | None, status: str) -> None:
    path = tmp_path / 'profile.xml'
    if content is not None:
        path.write_text(content, encoding='utf-8')
    check = transport({'ROS_DISTRO': 'jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE': str(path)})
    assert check.status == status
    assert check.advice


def test_little_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('shutil.disk_usage', lambda _: Usage(0, 0, 1000))
    check = transport({'ROS_DISTRO': 'jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE': str(PROFILE)})
    assert check.status == 'problem'
    assert '--shm-size' in check.advice


@pytest.mark.parametrize(
    ('value', 'status'), [('', 'ok'), ('7', 'ok'), ('233', 'problem'), ('x', 'problem')]
)
def test_domains(monkeypatch: pytest.MonkeyPatch, value: str, status: str) -> None:
    monkeypatch.setattr(doctor_ros, 'import_failure', lambda _: None)
    monkeypatch.setenv('ROS_DOMAIN_ID', value)
    assert by_name(list(doctor_ros.check_ros()))['domain'].status == status


@pytest.mark.ros
def test_large_images_are_measured(monkeypatch: pytest.MonkeyPatch, ros_domain_id: int) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(ros_domain_id))
    for variable in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', str(PROFILE))
    check = doctor_ros.check_loopback()
    # On a busy computer a best-effort image may be late, but not most of them.
    assert check.status in ('ok', 'warning'), check
    assert '1920x1080' in check.detail
