"""The folders and variables of an environment below `.build/<ros>/`, and its `env.sh`."""

from dataclasses import dataclass
from pathlib import Path
import shlex
import sys

DISTRIBUTIONS = ('jazzy', 'kilted')

# Fast DDS 2 and 3 read the file of transport profiles from different variables.
PROFILE_VARIABLE = {
    'jazzy': 'FASTRTPS_DEFAULT_PROFILES_FILE',
    'kilted': 'FASTDDS_DEFAULT_PROFILES_FILE',
}

_ENV_SH = """\
# Written by tools/build_env.py; source it: . .build/{ros}/env.sh
# A shell for da3_ros with ROS 2 {ros} from wheels. A ROS 2 installation that was sourced before is
# left out, two of them in one process do not mix.
if [ "${{DA3_ROS_ENVIRONMENT:-}}" != {venv} ]; then
    if [ -n "${{AMENT_PREFIX_PATH:-}}" ]; then
        LD_LIBRARY_PATH=
    fi
    export DA3_ROS_ENVIRONMENT={venv}
    export PATH={venv}/bin:{install}/lib/da3_ros:"$PATH"
    export LD_LIBRARY_PATH={install}/lib:{underlay}/lib"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
fi
export VIRTUAL_ENV={venv}
export AMENT_PREFIX_PATH={install}:{underlay}:{venv}
export CMAKE_PREFIX_PATH={install}:{underlay}:{venv}
export PYTHONPATH={root}:{install}/{site}:{underlay}/{site}
export PYTHONNOUSERSITE=1
export ROS_VERSION=2
export ROS_PYTHON_VERSION=3
export ROS_DISTRO={ros}
export ROS_LOG_DIR={base}/log/ros
export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
# Nodes find each other on this machine only; set ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET after
# sourcing to reach robots, and read config/fastdds.xml.
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
# Fast DDS 3 warns of the variable of Fast DDS 2, and reads both files.
unset FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_DEFAULT_PROFILES_FILE
export {profile_variable}={root}/config/fastdds.xml
"""


@dataclass(frozen=True)
class Layout:
    """Where everything of one environment lies."""

    root: Path
    """The checkout, absolute."""

    ros: str
    """Name of the ROS 2 distribution."""

    @property
    def base(self) -> Path:
        """Folder of the environment; the dot keeps colcon from looking inside."""
        return self.root / '.build' / self.ros

    @property
    def venv(self) -> Path:
        """Virtual environment: Python packages and the ROS 2 wheels."""
        return self.base / 'venv'

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / 'bin' / 'python'

    @property
    def underlay(self) -> Path:
        """Install folder of tf2_msgs, which the wheels lack."""
        return self.base / 'underlay'

    @property
    def install(self) -> Path:
        """Install folder of da3_ros itself."""
        return self.base / 'install'

    @property
    def log(self) -> Path:
        """Folder of the logs."""
        return self.base / 'log'

    @property
    def env_sh(self) -> Path:
        """The file to source."""
        return self.base / 'env.sh'

    @property
    def site_packages(self) -> str:
        """Folder of Python packages relative to an install folder."""
        return f'lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages'

    def build_variables(self, inherited: dict[str, str]) -> dict[str, str]:
        """Return the environment in which interfaces are generated and compiled.

        Args:
            inherited: The caller's environment; its ROS 2 and its jobserver are left out.

        Returns:
            A complete environment for a child process.
        """
        dropped = {'MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'PYTHONHOME', 'COLCON_PREFIX_PATH'}
        prefixes = f'{self.underlay}:{self.venv}' if self.underlay.is_dir() else str(self.venv)
        return {name: value for name, value in inherited.items() if name not in dropped} | {
            'VIRTUAL_ENV': str(self.venv),
            'PATH': f'{self.venv}/bin:{inherited.get("PATH", "/usr/bin:/bin")}',
            'AMENT_PREFIX_PATH': prefixes,
            'CMAKE_PREFIX_PATH': prefixes,
            'PYTHONPATH': str(self.underlay / self.site_packages),
            'PYTHONNOUSERSITE': '1',
            'ROS_DISTRO': self.ros,
            'ROS_VERSION': '2',
            'ROS_PYTHON_VERSION': '3',
        }

    def env_sh_text(self) -> str:
        """Return the content of `env.sh`, for sh and bash, with every path quoted."""
        return _ENV_SH.format(
            ros=self.ros,
            profile_variable=PROFILE_VARIABLE[self.ros],
            site=self.site_packages,
            **{
                name: shlex.quote(str(path))
                for name, path in (
                    ('root', self.root),
                    ('base', self.base),
                    ('venv', self.venv),
                    ('underlay', self.underlay),
                    ('install', self.install),
                )
            },
        )
