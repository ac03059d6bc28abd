"""What stands in a prediction in place of intrinsics that its depth cannot do without.

The metric single-view network predicts no cameras, and its output becomes metres only by the
focal length (`metric`). Upstream the intrinsics are then None, and the documented arithmetic
ends in a TypeError about None. Here it ends in an error that says what is missing.
"""

from typing import Any, NoReturn

from da3_ros.errors import PreprocessError


class MissingIntrinsics:
    """False, equal to None, and an error that names `intrinsics` for whoever computes with it.

    Args:
        model_name: the network that gave none.
    """

    __slots__ = ('_model_name',)

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, MissingIntrinsics)

    def __hash__(self) -> int:
        return hash(None)

    def __repr__(self) -> str:
        return f'no intrinsics ({self._model_name} predicts none, none were given)'

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise PreprocessError(
            f'prediction.intrinsics: {self._model_name} predicts none and none were given; give '
            'inference(images, intrinsics=K) their K (N, 3, 3) in pixels of the images'
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith('__'):
            raise AttributeError(name)
        self._refuse()

    __getitem__ = __iter__ = __len__ = __array__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __float__ = _refuse
