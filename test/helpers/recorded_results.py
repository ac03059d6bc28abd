"""Results of windows, and what makes messages of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.resample import PixelMap
from da3_ros.notes import Note
from da3_ros.options import NodeOptions, OutputOptions
from da3_ros.options.outputs import OutputChoice
from da3_ros.pipeline.pipeline import Losses
from da3_ros.ros.offline.result_messages import Message, ResultMessages
from da3_ros.ros.offline.tape_transforms import TapeTransforms
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.claims import TransformClaims
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.types import InputGeometry, PosedView, RigCalibration, WindowResult
from helpers.log_lines import Lines
from helpers.posed_results import drive

WORLD = make_family_world()
CAMERAS = tuple(WORLD.rig.cameras)
SIZE = ImageSize(24, 32)
LOSSES = Losses(3, 4, ('left',))
NOTES = (Note('caution', 'not for robots'),)
FRAME_IDS = {camera: WORLD.rig.frame_id(camera) for camera in CAMERAS}
OPTIONS: Mapping[str, OutputOptions] = {
    'metres': OutputOptions(publish_tf=True),
    'millimetres': OutputOptions(
        publish_tf=True,
        publish_map_tf=True,
        depth_encoding='16UC1',
        depth_size='input',
        min_depth_m=1.0,
        max_depth_m=4.0,
        min_confidence=1.5,
        edge_filter=0.0,
        voxel_size_m=0.0,
        odom_frame='world',
        base_frame='body',
    ),
}


def with_input(view: PosedView) -> PosedView:
    """Return a view made from an image of twice the size, with sky and varied confidence."""
    twice = ImageSize(2 * SIZE.height, 2 * SIZE.width)
    sky = np.zeros(view.depth.shape, bool)
    sky[:3] = True
    return replace(
        view,
        sky=sky,
        confidence=np.linspace(1, 3, sky.size, dtype=np.float32).reshape(sky.shape),
        input=InputGeometry(twice, None, PixelMap.whole(twice, SIZE)),
    )


def made_results() -> list[WindowResult]:
    """Return three windows: the last one begins another world."""
    found = []
    for index, result in enumerate(drive(WORLD, 4, SIZE)):
        sets = tuple(
            replace(posed, views=tuple(with_input(view) for view in posed.views))
            for posed in result.new_sets
        )
        images = {v.id: v.image.repeat(2, 0).repeat(2, 1) for s in sets for v in s.views}
        generation = int(index == 3)
        found.append(replace(result, new_sets=sets, images=images, generation=generation))
    return found


RESULTS = made_results()


def transforms(output: OutputOptions) -> TransformClaims:
    tf = TapeTransforms(
        output, ReasonBoard(Lines()), lambda: 0, lambda until_ns: False, has_moving=False
    )
    return TransformClaims(output, tf)


def maker(
    output: OutputOptions = OPTIONS['metres'], outputs: str = 'all', **changes: Any
) -> ResultMessages:
    options = NodeOptions(output=output)
    return ResultMessages(options, OutputChoice(outputs), transforms(output), **changes)


def messages_of(made: ResultMessages, results: Sequence[WindowResult]) -> list[Message]:
    return [
        message
        for result in results
        for message in made.of_window(result, LOSSES, RigCalibration())
    ]
