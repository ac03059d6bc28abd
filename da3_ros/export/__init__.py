"""Scenes to files: complete when the call returns, atomic, deterministic, input read-only.

Owns every file format. Knows neither ROS nor torch; a format's library is imported when the
format is asked for. Start with `registry.export_scene`; `options` is what may be chosen,
`scene` what exporters read; `files` puts what they wrote into place, all of it or nothing.
"""
