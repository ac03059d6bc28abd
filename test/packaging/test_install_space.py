"""What colcon installed is what `ros2 run`, `ros2 launch` and `ros2 interface` look for."""

import os
from pathlib import Path
import subprocess

import pytest

pytestmark = pytest.mark.ros


def _prefix() -> Path:
    index = pytest.importorskip('ament_index_python.packages')
    return Path(index.get_package_prefix('da3_ros'))


@pytest.mark.parametrize('name', ['da3', 'da3_node'])
def test_executables_are_where_ros2_run_looks(name: str) -> None:
    file = _prefix() / 'lib' / 'da3_ros' / name

    assert os.access(file, os.X_OK)
    compile(file.read_text(), str(file), 'exec')


@pytest.mark.parametrize(
    'name',
    [
        'package.xml',
        'launch/da3.launch.py',
        'launch/rig.launch.py',
        'config/fastdds.xml',
        'config/recipes/rtabmap.yaml',
        'config/rigs/realsense.yaml',
        'rviz/da3.rviz',
        'msg/WindowReport.msg',
    ],
)
def test_share_holds_what_tools_read(name: str) -> None:
    assert (_prefix() / 'share' / 'da3_ros' / name).is_file()


def test_interfaces_carry_their_documented_constants() -> None:
    from da3_ros.action import ExportScene as Action
    from da3_ros.msg import ViewReport, WindowReport
    from da3_ros.srv import ExportScene as Service

    assert len(ViewReport().k) == 9
    assert WindowReport.SCALE_NONE == 'none'
    assert Action.Goal.get_fields_and_field_types() == (
        Service.Request.get_fields_and_field_types()
    )
    assert Action.Result.get_fields_and_field_types() == (
        Service.Response.get_fields_and_field_types()
    )


def test_message_survives_serialization() -> None:
    from rclpy.serialization import deserialize_message, serialize_message

    from da3_ros.msg import ViewReport, WindowReport

    report = WindowReport(window_index=2**40, scale=0.25, late_cameras=['left', 'right'])
    report.views = [ViewReport(camera='front', k=[float(i) for i in range(9)], height=3)]

    assert deserialize_message(serialize_message(report), WindowReport) == report


def test_environment_script_can_be_sourced_by_sh_twice() -> None:
    venv = os.environ.get('DA3_ROS_ENVIRONMENT')
    if not venv:
        pytest.skip('not in an environment made by make')
    script = Path(venv).parent / 'env.sh'

    once, twice = (
        subprocess.run(
            ['sh', '-c', times * '. "$1"; ' + 'echo "$PATH $LD_LIBRARY_PATH"', 'sh', str(script)],
            env={'PATH': '/usr/bin:/bin'},
            capture_output=True,
            text=True,
            check=True,
        )
        for times in (1, 2)
    )

    assert once.stdout == twice.stdout
    assert f'{venv}/bin:' in once.stdout
    assert once.stderr == ''
