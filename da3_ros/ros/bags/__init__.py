"""Bags beside a running graph: playing and recording."""
