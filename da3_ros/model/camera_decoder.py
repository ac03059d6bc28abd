"""Camera tokens to camera encodings."""

import torch
from torch import Tensor, nn


class CameraDecoder(nn.Module):
    """Two hidden layers, then position, orientation and field of view."""

    def __init__(self, dim: int) -> None:
        """Create a decoder for camera features of `dim` channels."""
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU()
        )
        self.fc_t = nn.Linear(dim, 3)
        self.fc_qvec = nn.Linear(dim, 4)
        self.fc_fov = nn.Sequential(nn.Linear(dim, 2), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        """Decode camera features (B, V, dim) to encodings (B, V, 9), see `pose_encoding`."""
        x = self.backbone(features)
        return torch.cat((self.fc_t(x), self.fc_qvec(x), self.fc_fov(x)), dim=-1)
