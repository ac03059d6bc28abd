"""How accurate a network is on held-out scenes, beside estimates that look at no image.

All rows of a table are measured on the same scenes in the same run. Depth as in `metrics`: one
median scale per scene, so that views must agree about it. Cameras: mean errors over all pairs of
views of a scene of the relative rotation and of the direction of the relative translation, and
the area under the curve of pairs for which both are right within 1 to 5 or 30 degrees. Once more
for the pairs that overlap: at least a quarter of each view is seen in the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from da3_ros.model.network import AnyViewNetwork
from da3_ros.synthetic.family_scene import Split
from tools.train_nano.config import FIRST
from tools.train_nano.matching import matches
from tools.train_nano.metrics import (
    EvaluationSet,
    area_under_curve,
    depth_figures,
    evaluation_set,
    relative_errors,
)
from tools.train_nano.targets import Targets

FREE, POSED = 'da3-nano', 'da3-nano, true poses given'
CONSTANT, BY_ROW, STILL = 'constant depth', 'mean depth by row', 'no motion'
TOGETHER, ALONE = 'da3-nano, a scale per view', 'da3-nano, views seen alone, a scale per view'
ALONE_ONE_SCALE = 'da3-nano, views seen alone'
FREE_OVERLAP, STILL_OVERLAP = 'da3-nano, overlapping pairs', 'no motion, overlapping pairs'
OVERLAP = 0.25
SCENES = {1: 96, 2: 96, 4: 96, 8: 96}
"""Views per scene to scenes measured. Half of those of eight are windows of a robot."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of one estimate; None for what it does not say."""

    absrel: float | None = None
    delta1: float | None = None
    rotation_deg: float | None = None
    direction_deg: float | None = None
    auc5: float | None = None
    """Percent, as the next."""
    auc30: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One estimate on the scenes of one split and number of views."""

    split: str
    views: int
    name: str
    figures: Figures


def accuracy(
    network: AnyViewNetwork, splits: Sequence[Split], scenes: Mapping[int, int]
) -> list[Row]:
    """Measure a network and the baselines.

    Args:
        network: any-view network.
        splits: sets of scenes, none of them of the training.
        scenes: views per scene to how many scenes.
    """
    rows = []
    for split in splits:
        for views, count in scenes.items():
            data = evaluation_set(split, views, count)
            rows += [
                Row(split.name.lower(), views, name, figures)
                for name, figures in measure_estimates(network, data).items()
            ]
    return rows


@torch.no_grad()
def measure_estimates(network: AnyViewNetwork, data: EvaluationSet) -> dict[str, Figures]:
    """Return the figures of the network, with and without true poses, and of the baselines."""
    targets = data.targets
    views = targets.images.shape[1]
    free = network(targets.images, options=FIRST)
    told = network(targets.images, targets.told, targets.intrinsics, options=FIRST)
    ones = torch.ones_like(targets.depth)
    found = {
        FREE: _figures(free.depth, free.extrinsics, targets),
        POSED: _figures(told.depth, told.extrinsics, targets),
        CONSTANT: _figures(ones, None, targets),
        BY_ROW: _figures(data.row_depth[:, None].expand_as(ones), None, targets),
    }
    if views > 1:
        still = torch.eye(4)[:3].expand_as(free.extrinsics)
        found[STILL] = _figures(None, still, targets)
        pairs = overlapping(targets)
        found[FREE_OVERLAP] = _pose_figures(free.extrinsics, targets, pairs)
        found[STILL_OVERLAP] = _pose_figures(still, targets, pairs)
        found[TOGETHER] = _figures(free.depth.flatten(0, 1)[:, None], None, _apart(targets))
        alone = network(_apart(targets).images, options=FIRST).depth
        found[ALONE] = _figures(alone, None, _apart(targets))
        found[ALONE_ONE_SCALE] = _figures(alone.view_as(free.depth), None, targets)
    return found


def overlapping(targets: Targets) -> Tensor:
    """Return which pairs of views see the same, (pairs,) in the order of `relative_errors`."""
    # (S, from, to) share of the patches of a view whose middle is seen in another
    seen = matches(targets).sum(dim=-1).mean(dim=2)
    both = torch.minimum(seen, seen.transpose(1, 2))
    views = targets.depth.shape[1]
    first, second = torch.triu_indices(views, views, offset=1)
    return (both[:, first, second] >= OVERLAP).flatten()


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    names = ('AbsRel', 'delta1', 'rotation, deg', 'direction, deg', 'AUC@5, %', 'AUC@30, %')
    digits = (3, 3, 1, 1, 1, 1)
    lines = [
        f'| scenes | views | estimate | {" | ".join(names)} |',
        f'|---|---|---|{"---|" * len(names)}',
    ]
    for row in rows:
        values = (getattr(row.figures, field.name) for field in fields(Figures))
        cells = (
            '' if value is None else f'{value:.{places}f}'
            for value, places in zip(values, digits, strict=True)
        )
        lines.append(f'| {row.split} | {row.views} | {row.name} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def _figures(depth: Tensor | None, extrinsics: Tensor | None, targets: Targets) -> Figures:
    figures = Figures()
    if extrinsics is not None and extrinsics.shape[1] > 1:
        figures = _pose_figures(extrinsics, targets)
    return figures if depth is None else replace(figures, **depth_figures(depth, targets))


def _pose_figures(extrinsics: Tensor, targets: Targets, pairs: Tensor | None = None) -> Figures:
    last = torch.eye(4)[3:].expand(*extrinsics.shape[:2], 1, 4).to(extrinsics)
    poses = torch.cat((extrinsics, last), dim=-2)
    rotation, direction = relative_errors(poses, targets.extrinsics)
    if pairs is not None:
        rotation, direction = rotation[pairs], direction[pairs]
    worst = torch.maximum(rotation, direction).tolist()
    return Figures(
        rotation_deg=float(rotation.mean()),
        direction_deg=float(direction.mean()),
        auc5=area_under_curve(worst, 5),
        auc30=area_under_curve(worst, 30),
    )


def _apart(targets: Targets) -> Targets:
    """Return every view as a scene of its own; cameras are not to be compared any more."""
    return Targets(
        images=targets.images.flatten(0, 1)[:, None],
        depth=targets.depth.flatten(0, 1)[:, None],
        known=targets.known.flatten(0, 1)[:, None],
        extrinsics=targets.extrinsics.flatten(0, 1)[:, None],
        intrinsics=targets.intrinsics.flatten(0, 1)[:, None],
        told=targets.told.flatten(0, 1)[:, None],
        encoding=targets.encoding.flatten(0, 1)[:, None],
        rays=targets.rays.flatten(0, 1)[:, None],
        compass=targets.compass.flatten(0, 1)[:, None],
        scale_m=targets.scale_m.repeat_interleave(targets.images.shape[1]),
    )
