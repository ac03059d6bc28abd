"""What a network can do, by its configuration."""

from dataclasses import dataclass, fields

from da3_ros.model.config import NetworkConfig


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a network gives beyond depth, and takes beyond images."""

    confidence: bool
    """Confidence of depth."""

    poses: bool
    """Camera poses and intrinsics. A network that sees other views but has no camera decoder gives
    them all the same where they are taken from its rays (`use_ray_pose`)."""

    conditioning: bool
    """Known cameras may go in."""

    gaussians: bool
    """3D Gaussians."""

    sky: bool
    """Sky score."""

    metric: bool
    """Metres: by itself where it predicts poses, else with known focal lengths."""

    def names(self) -> tuple[str, ...]:
        """Return the names of what it can do."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


def capabilities(config: NetworkConfig) -> Capabilities:
    """Return what a network can do."""
    any_view, single_view = config.any_view, config.single_view
    has_cameras = any_view is not None and any_view.camera is not None
    return Capabilities(
        confidence=any_view is not None,
        poses=has_cameras,
        conditioning=has_cameras,
        gaussians=any_view is not None and any_view.gaussian is not None,
        sky=single_view is not None,
        metric=single_view is not None and single_view.canonical_focal_px is not None,
    )
