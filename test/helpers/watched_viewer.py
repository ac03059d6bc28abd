"""The live viewer over a true world, and a browser that looks at it."""

from typing import TYPE_CHECKING

from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic import make_world
from da3_ros.types import WindowResult
from da3_ros.web.settings import ViewSettings
from da3_ros.web.viewer import LiveViewer
from helpers.patience import wait_until

if TYPE_CHECKING:
    from helpers.viser_client import SceneClient

SIZE = ImageSize(60, 80)
WORLD = make_world(0, SIZE)
PLAIN = ViewSettings(points_per_view=600, edge_filter=0.0, show_map=False)


def draw(viewer: LiveViewer, result: WindowResult) -> None:
    """Show a result and wait until it is drawn."""
    wait_until(lambda: viewer.clients > 0)
    drawn = viewer.drawn
    viewer.show(result, 0.3)
    wait_until(lambda: viewer.drawn > drawn)


def sync(viewer: LiveViewer, client: 'SceneClient', index: int) -> None:
    """Wait until the client has everything of a window: the panel is written last."""
    client.wait_for(lambda: f'**Window {index}**' in client.status())
