"""What the exit status of `da3` means."""

EXIT_FAILED = 1
"""An error, or a part of the work that failed."""
EXIT_USAGE = 2
"""Arguments that make no sense."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells have it."""
