"""Rotations, rigid and similarity transforms, pinhole cameras, alignment.

Owns the mathematics of poses and pixels, in float64 numpy. Knows neither images, networks nor
messages; loads neither torch nor rclpy. Start with `camera` (the pixel-centre rule) and `sim3`.
"""
