"""The picture of depth on the panel: its colours, its range, and when it is there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from da3_ros.synthetic.trajectory import START_NS
from da3_ros.types import PosedView, WindowResult
from da3_ros.web.depth_picture import WIDTH_PX, depth_picture
from da3_ros.web.viewer import LiveViewer
from helpers.posed_results import posed_set
from helpers.watched_viewer import WORLD, draw, sync

pytest.importorskip('viser', reason='the live viewer needs viser: pip install "viser>=1.1"')
from helpers.viser_client import SceneClient

NEAREST, FARTHEST = (158, 1, 66), (94, 79, 162)


def flat(view: PosedView, depth: float) -> PosedView:
    return replace(view, depth=np.full_like(view.depth, depth))


def test_views_of_one_instant_share_a_range_so_that_their_colours_compare() -> None:
    near, far, *_ = posed_set(WORLD, START_NS).views
    picture = depth_picture([flat(near, 1.0), flat(far, 5.0)], 'm')
    assert picture.shape[1] == WIDTH_PX
    assert (picture[:90, :140] == NEAREST).all()
    assert (picture[:90, 160:290] == FARTHEST).all()
    assert (picture != depth_picture([flat(near, 1.0), flat(far, 5.0)], 'scene units')).any()


@pytest.mark.parametrize('count', [1, 2, 3, 4, 7])
def test_any_number_of_views_fits(count: int) -> None:
    view = posed_set(WORLD, START_NS).views[0]
    picture = depth_picture([view] * count, 'm')
    assert picture.shape[1] == WIDTH_PX
    assert picture.shape[0] < 900


def test_nothing_known_is_black_and_said() -> None:
    view = flat(posed_set(WORLD, START_NS).views[0], np.nan)
    picture = depth_picture([view], 'm')
    assert not picture[:200, :290].any()
    assert (picture[-20:] > 200).any()


def test_the_panel_shows_depth_until_it_is_switched_off(
    viewer: LiveViewer, results: list[WindowResult]
) -> None:
    def shown(client: SceneClient) -> list[bool]:
        return [c['visible'] for c in client.controls.values() if '_data' in c]

    with SceneClient(viewer.url) as client:
        draw(viewer, results[0])
        sync(viewer, client, 0)
        client.wait_for(lambda: shown(client) == [True])
        client.set_control('Depth', False)
        client.wait_for(lambda: shown(client) == [False])
