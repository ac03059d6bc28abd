"""The node's own entry point where torch cannot be imported, as where it is not installed.

Usage: torchless_node.py --ros-args ...
"""

from __future__ import annotations

import sys

sys.modules['torch'] = None  # type: ignore[assignment]

if __name__ == '__main__':
    from da3_ros.ros.node.main import main

    raise SystemExit(main())
