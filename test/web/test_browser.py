"""The live viewer in a real browser: what is on the screen."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic import make_world
from da3_ros.types import WindowResult
from da3_ros.web.settings import ViewSettings
from da3_ros.web.viewer import LiveViewer
from helpers.posed_results import drive

pytest.importorskip('viser', reason='the live viewer needs viser: pip install "viser>=1.1"')
from helpers.chromium import Page, find_chromium, open_page
from helpers.patience import wait_until

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason='no Chromium here: apt-get install chromium'
)

SIZE = (720, 420)
PANEL_PX = 340


@pytest.fixture(scope='module')
def results() -> list[WindowResult]:
    return drive(make_world(0, ImageSize(120, 160)), 4)


@pytest.fixture
def viewer() -> Iterator[LiveViewer]:
    viewer = LiveViewer(port=0, settings=ViewSettings(points_per_view=3000, show_grid=False))
    viewer.start()
    yield viewer
    viewer.close()


def _scene(page: Page) -> NDArray[np.int64]:
    """Return the part of the screen beside the panel and below notes of the browser."""
    return page.screenshot()[:, : SIZE[0] - PANEL_PX].astype(np.int64)


def _coloured(scene: NDArray[np.int64]) -> float:
    """Return the share of pixels that have a hue: text, panel, grid and background are grey."""
    return float((np.ptp(scene, axis=2) > 12).mean())


def _close_to(scene: NDArray[np.int64], colour: NDArray[np.float64]) -> float:
    """Return the share of pixels whose hue and saturation are about those of a colour."""
    ratio = scene / np.maximum(scene.sum(axis=2, keepdims=True), 1)
    wanted = colour / colour.sum()
    bright = scene.sum(axis=2) > 60
    return float(((np.abs(ratio - wanted).max(axis=2) < 0.03) & bright).mean())


@pytest.mark.timeout(300)  # pixels are made by the processor
def test_cloud_is_on_the_screen_in_its_colours(
    viewer: LiveViewer, results: list[WindowResult], tmp_path: Path
) -> None:
    # What the robot sees most of: the floor in front of it.
    [posed] = results[-1].new_sets
    image = posed.views[0].image
    floor = image[-30:].reshape(-1, 3).mean(axis=0)

    with open_page(str(find_chromium()), viewer.url, tmp_path, SIZE) as page:
        wait_until(lambda: viewer.clients == 1)
        wait_until(lambda: page.text().count('Waiting for the first window') == 1)
        empty = _scene(page)
        for result in results:
            drawn = viewer.drawn
            viewer.show(result)
            wait_until(lambda drawn=drawn: viewer.drawn > drawn)  # type: ignore[misc]
        wait_until(lambda: 'Window 3' in page.text())
        wait_until(lambda: _coloured(_scene(page)) > 0.3)
        full = _scene(page)
        assert 'metres' in page.text()

        viewer.reset()
        wait_until(lambda: _coloured(_scene(page)) < 0.05)

    assert _coloured(empty) < 0.05
    assert _close_to(empty, floor) < 0.01
    assert _close_to(full, floor) > 0.05
