"""Tensor names of raw training checkpoints, converted to those of the upstream files.

Only whole networks are converted. The nested network was never trained as one: convert its two
parts and load each by itself.
"""

from collections.abc import Collection

PREFIX = 'model.'
TRAINING_PREFIX = 'module.'

_CAMERA_TOKEN = f'{PREFIX}backbone.pretrained.camera_token'
_EXTRA_CAMERA_TOKEN = f'{_CAMERA_TOKEN}_extra'

# Applied one after another.
_REPLACEMENTS = (
    (TRAINING_PREFIX, PREFIX),
    ('.net.', '.backbone.'),
    (f'{PREFIX}all_heads.camera_cond_head', f'{PREFIX}cam_enc'),
    (f'{PREFIX}all_heads.camera_head', f'{PREFIX}cam_dec'),
    ('.more_mlps.', '.backbone.'),
    ('.fc_rot.', '.fc_qvec.'),
    (f'{PREFIX}all_heads.head', f'{PREFIX}head'),
    ('output_conv2_additional.sky_mask', 'sky_output_conv2'),
    ('_ray.', '_aux.'),
    ('gaussian_param_head.', 'gs_head.'),
)


def current_names(stored: Collection[str]) -> dict[str, str]:
    """Return current names for the names in a file.

    Args:
        stored: All names in the file.

    Returns:
        Current name -> stored name. The same names for files that hold current ones; a training
        checkpoint's own camera token, which its successor replaces, is left out.
    """
    names = {_converted(name): name for name in stored}
    if _EXTRA_CAMERA_TOKEN in names:
        names[_CAMERA_TOKEN] = names.pop(_EXTRA_CAMERA_TOKEN)
    return names


def _converted(name: str) -> str:
    if not name.startswith((PREFIX, TRAINING_PREFIX)):
        # Checkpoints of the metric network come without the outermost name.
        name = TRAINING_PREFIX + name
    for old, new in _REPLACEMENTS:
        name = name.replace(old, new)
    return name
