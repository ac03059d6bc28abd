"""What a browser does to a viser server, without a browser: connect, look, gather the scene.

Reads the wire as viser 1.1 writes it: two lengths (uint64), MessagePack under Zstandard, then the
arrays, each at a multiple of 8 bytes.
"""

from collections.abc import Callable
import threading
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
import viser
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol
import zstandard

_TIMEOUT_S = 60.0
_HEADER = 16


class SceneClient:
    """One connected client; gathers what it is sent until it leaves.

    Args:
        url: http address of the server.
        looks: whether it says where it looks from, which makes it a client that counts.
        origin: the page that it claims to be; None for a program that is no browser.
    """

    def __init__(self, url: str, *, looks: bool = True, origin: str | None = None) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        """Name of a node to its newest state: type, props, wxyz, position, visible."""
        self.controls: dict[str, dict[str, Any]] = {}
        """Id of a control to its newest properties, value among them."""
        self.eye: dict[str, Any] = {}
        """Where the server told this client to look from."""
        self._changed = threading.Condition()
        self._connection: ClientConnection = connect(
            url.replace('http://', 'ws://'),
            subprotocols=[Subprotocol(f'viser-v{viser.__version__}')],
            origin=None if origin is None else Origin(origin),
            max_size=None,
            compression=None,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if looks:
            self.look((3.0, 3.0, 3.0), (0.0, 0.0, 0.0))

    def look(self, position: tuple[float, ...], look_at: tuple[float, ...]) -> None:
        """Say where this client looks from."""
        self.send(
            'ViewerCameraMessage',
            wxyz=(1.0, 0.0, 0.0, 0.0),
            position=position,
            fov=1.3,
            near=0.01,
            far=1000.0,
            image_height=600,
            image_width=800,
            look_at=look_at,
            up_direction=(0.0, 0.0, 1.0),
        )

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message."""
        self._connection.send(msgspec.msgpack.encode({'type': kind, **fields}))

    def set_control(self, label: str, value: Any) -> None:
        """Change a control as a person would."""
        self.wait_for(lambda: any(c.get('label') == label for c in self.controls.values()))
        [uuid] = [key for key, c in self.controls.items() if c.get('label') == label]
        self.send('GuiUpdateMessage', uuid=uuid, updates={'value': value})

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until what was received meets a condition."""
        with self._changed:
            assert self._changed.wait_for(condition, _TIMEOUT_S), sorted(self.nodes)

    def pause(self, timeout_s: float) -> None:
        """Wait for the next packet, at most so long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def below(self, parent: str) -> dict[str, dict[str, Any]]:
        """Return the nodes below another."""
        return {name: n for name, n in self.nodes.items() if name.startswith(f'{parent}/')}

    def points(self, parent: str) -> np.ndarray[Any, Any]:
        """Return the points (P, 3) of all clouds below a node."""
        clouds = [node['props']['points'] for node in self.below(parent).values()]
        return np.concatenate(clouds) if clouds else np.zeros((0, 3), np.float32)

    def status(self) -> str:
        """Return the text of the panel."""
        texts = [c['_markdown'] for c in self.controls.values() if '_markdown' in c]
        return '\n'.join(texts)

    def wait_until_refused(self) -> None:
        """Wait until the server has ended the connection."""
        self._thread.join(_TIMEOUT_S)
        assert not self._thread.is_alive()

    def leave(self) -> None:
        """Go away."""
        self._connection.close()
        self._thread.join(_TIMEOUT_S)

    def __enter__(self) -> 'SceneClient':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def _read(self) -> None:
        try:
            for data in self._connection:
                assert isinstance(data, bytes)
                messages = decode(data)
                with self._changed:
                    for message in messages:
                        self._take(message)
                    self._changed.notify_all()
        except ConnectionClosed:
            return

    def _take(self, message: dict[str, Any]) -> None:
        kind, name = message['type'], message.get('name')
        uuid = message.get('uuid')
        if kind == 'RemoveSceneNodeMessage':
            self.nodes.pop(str(name), None)
        elif kind.startswith('SetCamera'):
            if not message.get('initial'):
                self.eye[kind] = message
        elif uuid is not None:
            control = self.controls.setdefault(uuid, {})
            control.update(message.get('props', {}))
            control.update(message.get('updates', {}))
            control.update({'value': message['value']} if 'value' in message else {})
        elif name is not None:
            node = self.nodes.setdefault(str(name), {})
            if 'props' in message:
                node.clear()
                node.update(type=kind, props=message['props'])
            node.get('props', {}).update(message.get('updates', {}))
            node.update({k: message[k] for k in ('wxyz', 'position', 'visible') if k in message})


def decode(data: bytes) -> list[dict[str, Any]]:
    """Return the messages of one packet, their arrays in place."""
    size, compressed = np.frombuffer(data[:_HEADER], '<u8').tolist()
    inner = zstandard.ZstdDecompressor().decompress(
        data[_HEADER : _HEADER + compressed], max_output_size=size
    )
    content = msgspec.msgpack.decode(inner)
    at = _HEADER + compressed
    arrays = []
    for length in content['binaryBufferLengths']:
        at += -at % 8
        arrays.append(data[at : at + length])
        at += length
    return [_with_arrays(message, arrays) for message in content['messages']]


def _with_arrays(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, dict):
        if '__binary_index' in value:
            array = np.frombuffer(arrays[value['__binary_index']], value['dtype'])
            return array.reshape(-1, 3) if array.size % 3 == 0 else array
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    return value
