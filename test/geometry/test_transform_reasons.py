"""Why a transform is not known, with the time that is missing, in a history of several."""

import numpy as np
import pytest

from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.transform_buffer import TransformBuffer

MS = 1_000_000
T0 = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ('at_ms', 'said'), [(320, '0.020 s older than'), (-30, '0.030 s newer than')]
)
def test_the_time_is_that_to_the_nearest_end_of_the_history(at_ms: int, said: str) -> None:
    buffer = TransformBuffer()
    for index in range(4):
        buffer.add('odom', 'base', T0 + index * 100 * MS, rigid(np.eye(3), [index, 0.0, 0.0]))
    found = buffer.lookup('odom', 'base', T0 + at_ms * MS)
    assert found.pose is None
    assert said in found.problem
