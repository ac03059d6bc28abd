"""What is taken from an estimated trajectory before it is compared: its frame, unit, or both."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import clear_spread, similarity_from_points

Alignment = Literal['none', 'se3', 'sim3', 'scale']
"""Nothing; rotation and translation; these and a scale; a scale about the origin alone."""
ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)


def truth_from_estimate(estimate: FloatArray, truth: FloatArray, alignment: Alignment) -> Sim3:
    """Return what brings positions (N, 3) of an estimate nearest to the true ones.

    The scale of `scale` is that of `sim3`, without its rotation and translation.

    Args:
        estimate: positions of the estimate.
        truth: positions of the same instants.
        alignment: what may be fitted.

    Raises:
        GeometryError: the positions do not determine it: fewer than three, all in one place, or
            all on one line, about which any rotation fits as well.

    Source: Umeyama 1991; Sturm et al. 2012, section VI.
    """
    if alignment == 'none':
        return Sim3.identity()
    _check(estimate, truth, alignment)
    try:
        similarity = similarity_from_points(estimate, truth)
    except GeometryError as error:
        raise GeometryError(
            f'alignment {alignment}: the positions lie on one line, about which any rotation fits '
            f'as well; compare with the alignment none ({error})'
        ) from error
    if alignment == 'sim3':
        return similarity
    if alignment == 'scale':
        return Sim3(similarity.scale, np.eye(3), np.zeros(3))
    shift = truth.mean(axis=0) - similarity.rotation @ estimate.mean(axis=0)
    return Sim3(1.0, similarity.rotation, shift)


def _check(estimate: FloatArray, truth: FloatArray, alignment: Alignment) -> None:
    """Refuse positions that determine nothing, in words that say what they are."""
    if alignment not in ALIGNMENTS:
        raise GeometryError(f'alignment: expected one of {ALIGNMENTS}, got {alignment!r}')
    if len(truth) < 3:
        raise GeometryError(
            f'alignment {alignment}: expected 3 or more poses of the same instants, got '
            f'{len(truth)}; compare with the alignment none'
        )
    for name, positions in (('estimated', estimate), ('true', truth)):
        if not clear_spread(positions):
            raise GeometryError(
                f'alignment {alignment}: all {name} positions are in one place, so nothing can be '
                'fitted; compare with the alignment none'
            )
