"""Entry point for plain pip; everything is declared in setup.cfg.

What setuptools makes along the way, `build/` and `*.egg-info`, goes to a folder that is removed
again: `pip install .` leaves the source tree as it was.
"""

import atexit
import shutil
import tempfile

from setuptools import setup

scratch = tempfile.mkdtemp(prefix='da3_ros_build_')
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(options={'build': {'build_base': scratch}, 'egg_info': {'egg_base': scratch}})
