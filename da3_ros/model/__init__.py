"""The networks of Depth Anything 3, and nothing else.

This package owns the layers, the heads, the typed configurations of the presets and the three
stages of a forward pass (`encode`, `fuse`, `decode`). It knows tensors only: no files, no images,
no preprocessing, no middleware. Module names follow the upstream checkpoints, so a module's
`state_dict` has the hub's names. Start reading at `network.py` (any number of views that see one
another), then `single_view.py` (each view alone) and `nested.py` (both, for metres).

Conventions inside this package: images are ImageNet-normalised float tensors, extrinsics are
camera_from_world with OpenCV axes, intrinsics are in pixels with the centre of the first pixel at
(0.5, 0.5). Shape letters: B batch, V views, T tokens, C channels, H W image, h w patch grid.
"""
