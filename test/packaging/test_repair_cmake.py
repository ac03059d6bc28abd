"""The repair of the wheels' CMake exports."""

from pathlib import Path

from tools.repair_cmake import repair

_EXPORTED = """\
set_target_properties(a_msgs::a_msgs__rosidl_generator_py PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "{include};{site}/numpy/_core/include"
)
# R\xe9sum\xe9
"""
_BUILT_IN = {
    'include': '/opt/python/cp312-cp312/include/python3.12',
    'site': '/opt/python/cp312-cp312/lib/python3.12/site-packages',
}
_HERE = {'include': '/my home/include/python3.12', 'site': '/my home/venv/lib/site-packages'}


def _export(share: Path) -> Path:
    file = share / 'a_msgs' / 'cmake' / 'export_a_msgs.cmake'
    file.parent.mkdir(parents=True)
    file.write_bytes(_EXPORTED.format(**_BUILT_IN).encode('latin-1'))
    return file


def test_folders_of_the_builder_become_ours_and_nothing_else_changes(tmp_path: Path) -> None:
    file = _export(tmp_path)

    count = repair(tmp_path, _HERE['include'], _HERE['site'])

    assert count == 1
    assert file.read_bytes() == _EXPORTED.format(**_HERE).encode('latin-1')


def test_second_repair_changes_nothing(tmp_path: Path) -> None:
    file = _export(tmp_path)
    repair(tmp_path, _HERE['include'], _HERE['site'])
    before = file.stat().st_mtime_ns

    assert repair(tmp_path, _HERE['include'], _HERE['site']) == 0
    assert file.stat().st_mtime_ns == before


def test_folders_of_other_software_in_opt_stay(tmp_path: Path) -> None:
    file = tmp_path / 'x.cmake'
    file.write_text('set(a /opt/ros/jazzy/include /opt/python/tool/bin)')

    assert repair(tmp_path, _HERE['include'], _HERE['site']) == 0
