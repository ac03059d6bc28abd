"""Refuse a Python for which there are no ROS 2 wheels; old ones can read this file too."""

import sys

OLDEST = (3, 10)
NEWEST = (3, 14)

if __name__ == '__main__' and not OLDEST <= sys.version_info[:2] <= NEWEST:
    sys.stderr.write(
        'make needs Python 3.10 to 3.14, for which ROS 2 wheels exist, and this is Python '
        '%d.%d: choose another one with PYTHON=, for example `make test PYTHON=python3.12`.\n'
        % sys.version_info[:2]
    )
    sys.exit(2)
