"""`da3 stream` that is killed: continued it leaves the files of a run that nobody interrupted."""

from __future__ import annotations

from pathlib import Path
import signal
import time

import av
import numpy as np
import pytest

from da3_ros.sinks.stream_part import PART_PREFIX
from helpers.box_stream import bytes_of
from helpers.cli import da3
from helpers.foreign_files import ForeignFiles
from helpers.ros_process import RosProcess

DA3 = 'da3_ros.cli.main'
KILLS = 20
FRAMES = 240
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def write_long_video(path: Path) -> Path:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 400, 3), np.uint8).repeat(1, axis=0)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for index in range(FRAMES):
            part = np.ascontiguousarray(picture[:, index : index + 64])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format='rgb24')))
        container.mux(stream.encode(None))
    return path


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_any_moment_it_goes_on_to_the_same_files(
    tmp_path: Path, ros_domain_id: int
) -> None:
    video = write_long_video(tmp_path / 'in.mp4')
    network = ('--model', 'da3-nano', '--process-res', '28', '--device', 'cpu')
    arguments = (
        *('stream', video, *network, '--window', '4', '--stride', '2'),
        *('--export-format', 'ply-tum', '--sample-ratio', '0.1'),
    )
    whole = tmp_path / 'whole'
    began = time.monotonic()
    with RosProcess(DA3, *arguments, '-o', whole, domain_id=ros_domain_id) as process:
        assert process.wait(300.0) == 0, process.output
    length_s = time.monotonic() - began
    expected = bytes_of(whole)
    continued = 0
    for index, moment in enumerate(np.random.default_rng(1).uniform(0.2, 1.0, KILLS)):
        out = tmp_path / str(index)
        foreign = ForeignFiles(out)
        to = ('-o', out, '--overwrite')
        with RosProcess(DA3, *arguments, *to, domain_id=ros_domain_id) as process:
            # The moment is what is tested; where it falls differs from run to run.
            time.sleep(moment * length_s)
            process.send(SIGNALS[index % 3])
            process.wait(60.0)
        assert foreign.changed() == set()
        continued += any((p / 'state.json').is_file() for p in out.glob(f'{PART_PREFIX}*'))
        da3(*arguments, *to)
        assert foreign.changed() == set()
        found = {name: data for name, data in bytes_of(out).items() if name in expected}
        assert found == expected, SIGNALS[index % 3]
        assert not list(out.glob(f'{PART_PREFIX}*'))
    assert continued > 1
