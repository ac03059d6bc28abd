"""Checkpoints that come with this package, one folder each; `inference.hub` finds them by name.

The folders are packages only so that every way of installing carries their files.
"""
