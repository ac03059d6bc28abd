"""Scenes to files: complete when the call returns, atomic, deterministic, input read-only.

Owns every file format. Knows neither ROS nor torch; a format's library is imported when the
format is asked for. Start with `registry.export_scene`; `scene` is what exporters read, `files`
is the only place that creates anything on disk.
"""
