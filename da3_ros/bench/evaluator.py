"""`python -m da3_ros.bench.evaluator`, called as in the official documentation."""

from __future__ import annotations

import sys

from da3_ros.cli.later import COMMANDS_INSTEAD, refuse

if __name__ == '__main__':
    sys.exit(refuse('bench', COMMANDS_INSTEAD['bench'], as_json='--json' in sys.argv).exit_code)
