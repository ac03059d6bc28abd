"""What a network can do, told by its configuration."""

from dataclasses import dataclass, fields

from da3_ros.model.config import AnyViewConfig, NestedConfig, NetworkConfig


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a network gives beyond depth, and takes beyond images."""

    confidence: bool
    """Confidence of depth."""

    poses: bool
    """Camera poses and intrinsics, by camera decoder or by rays."""

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
    if isinstance(config, NestedConfig):
        gaussians = config.any_view.gaussian is not None
        return Capabilities(True, True, True, gaussians, sky=True, metric=True)
    if isinstance(config, AnyViewConfig):
        gaussians = config.gaussian is not None
        return Capabilities(True, True, True, gaussians, sky=False, metric=False)
    metric = config.canonical_focal_px is not None
    return Capabilities(False, False, False, False, sky=True, metric=metric)
