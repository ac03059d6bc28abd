"""What the exit status of `da3` means."""

from da3_ros.process import INTERRUPTED

EXIT_FAILED = 1
"""An error, or a part of the work that failed."""
EXIT_USAGE = 2
"""Arguments that make no sense."""
EXIT_INTERRUPTED = INTERRUPTED
"""Ctrl-C, as shells have it."""
