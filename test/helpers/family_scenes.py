"""Distances in scenes of the family, written without a look at the renderer."""

import numpy as np
from numpy.typing import NDArray

from da3_ros.synthetic.family_scene import FamilyScene

Points = NDArray[np.float64]


def distance_to_surfaces(scene: FamilyScene, points: Points) -> Points:
    """Signed distance from points (..., 3) to the nearest surface, negative inside objects.

    Written from the definition of distances to cuboids and balls: nothing of the renderer.
    """
    plan = scene.plan
    x, y, z = np.moveaxis(points, -1, 0)
    faces = [plan.half_x_m - np.abs(x), plan.half_y_m - np.abs(y), z]
    if not plan.kind.is_open:
        faces.append(plan.height_m - z)
    nearest = np.min(faces, axis=0)
    for centre, half, yaw in zip(
        scene.box_centres_m, scene.box_halves_m, scene.box_yaws_rad, strict=True
    ):
        world_from_box = np.array(
            [[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]
        )
        beyond = np.abs((points - centre) @ world_from_box) - half
        outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
        nearest = np.minimum(nearest, outside + np.minimum(beyond.max(axis=-1), 0))
    for centre, radius in zip(scene.ball_centres_m, scene.ball_radii_m, strict=True):
        nearest = np.minimum(nearest, np.linalg.norm(points - centre, axis=-1) - radius)
    return np.asarray(nearest)
