"""A headless Chromium that renders without a GPU, driven over its DevTools protocol."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
import io
import itertools
import json
from pathlib import Path
import shutil
import subprocess
import time
from typing import Any
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from websockets.sync.client import connect
from websockets.sync.connection import Connection

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
_START_S = 30.0


def find_chromium() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Page:
    """The one page of a browser."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({'id': number, 'method': method, 'params': parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get('id') == number:
                assert 'error' not in answer, answer
                return dict(answer['result'])

    def screenshot(self) -> NDArray[np.uint8]:
        """Return what is seen, (H, W, 3) RGB."""
        data = self.call('Page.captureScreenshot', format='png')['data']
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        return np.asarray(image.convert('RGB'))

    def text(self) -> str:
        """Return the text of the page."""
        answer = self.call('Runtime.evaluate', expression='document.body.innerText')
        return str(answer['result'].get('value', ''))


@contextmanager
def open_page(
    chromium: str, url: str, folder: Path, size: tuple[int, int] = (960, 600)
) -> Iterator[Page]:
    """Open a page in a browser of its own; the browser ends with the context.

    Args:
        chromium: path of the program.
        url: of the page.
        folder: for the browser's files.
        size: width and height of the window, px.
    """
    command = [
        chromium,
        '--headless=new',
        '--no-sandbox',
        '--use-angle=swiftshader',
        '--enable-unsafe-swiftshader',
        '--disable-dev-shm-usage',
        '--hide-scrollbars',
        '--no-first-run',
        '--disable-background-networking',
        f'--window-size={size[0]},{size[1]}',
        f'--user-data-dir={folder}',
        '--remote-debugging-port=0',
        'about:blank',
    ]
    with (folder / 'chromium.log').open('w') as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            with connect(_debugger(process, folder), max_size=None) as connection:
                page = Page(connection)
                page.call(
                    'Emulation.setDeviceMetricsOverride',
                    width=size[0],
                    height=size[1],
                    deviceScaleFactor=1,
                    mobile=False,
                )
                page.call('Page.navigate', url=url)
                yield page
        finally:
            process.terminate()
            process.wait(30)


def _debugger(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for the browser and return the address of its page's debugger."""
    port_file = folder / 'DevToolsActivePort'
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / 'chromium.log').read_text()
        if port_file.exists() and (lines := port_file.read_text().splitlines()):
            with urlopen(f'http://127.0.0.1:{lines[0]}/json/list') as answer:
                pages = [item for item in json.load(answer) if item['type'] == 'page']
            if pages:
                return str(pages[0]['webSocketDebuggerUrl'])
        time.sleep(0.05)
    raise AssertionError((folder / 'chromium.log').read_text())
