"""Run a launch file as `ros2 launch` does: launch_runner.py FILE [name:=value ...]."""

import sys

from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription, LaunchService


def main(file: str, *arguments: str) -> int:
    """Run until everything has ended or SIGINT comes; return the status of the service."""
    pairs = [tuple(argument.split(':=', 1)) for argument in arguments]
    included = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(file), launch_arguments=pairs
    )
    service = LaunchService()
    service.include_launch_description(LaunchDescription([included]))
    return int(service.run())


if __name__ == '__main__':
    raise SystemExit(main(*sys.argv[1:]))
