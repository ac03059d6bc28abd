"""Known cameras to camera tokens."""

from torch import Tensor, nn

from da3_ros.model.block import Block
from da3_ros.model.config import CameraHeadConfig
from da3_ros.model.layers import Mlp
from da3_ros.model.pose_encoding import encode_cameras

NORM_EPS = 1e-5


class CameraEncoder(nn.Module):
    """Embed camera encodings and let the cameras of a window attend to one another."""

    def __init__(self, dim: int, config: CameraHeadConfig) -> None:
        """Create an encoder to tokens of `dim` channels."""
        super().__init__()
        self.pose_branch = Mlp(9, dim // 2, dim)
        self.token_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.trunk = nn.Sequential(
            *(Block(dim, config.num_heads, norm_eps=NORM_EPS) for _ in range(config.trunk_depth))
        )
        self.trunk_norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(
        self, extrinsics: Tensor, intrinsics: Tensor, image_size: tuple[int, int]
    ) -> Tensor:
        """Encode cameras.

        Args:
            extrinsics: (B, V, 4, 4) camera_from_world.
            intrinsics: (B, V, 3, 3) in pixels of the images.
            image_size: (H, W).

        Returns:
            (B, V, C) camera tokens.
        """
        encoding = encode_cameras(extrinsics, intrinsics, image_size)
        tokens = self.token_norm(self.pose_branch(encoding))
        out: Tensor = self.trunk_norm(self.trunk(tokens))
        return out
