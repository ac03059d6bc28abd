"""What stamps say about clocks; stamps are integer nanoseconds."""

CLOCK_RESET_NS = 1_000_000_000
"""Stamps of one sender that jump back by more than this come from a new clock (a bag that starts
again, a clock that was set); smaller steps back are messages out of order."""
