"""Times that tell whether something was waited for, on a machine that does much else as well."""

PATIENCE_S = 20.0
"""More than what takes a second or two may take where many others compute."""

BLOCKED_S = 120.0
"""What nobody must wait for: a window, or the loading of weights, takes that long."""
