"""Best-effort images arrive, all of them, when the publisher uses config/fastdds.xml."""

import json
from pathlib import Path
import statistics

import pytest

from helpers.ros_process import ROOT, RosProcess

pytestmark = pytest.mark.ros

_HERE = Path(__file__).parent
_PROFILE = str(ROOT / 'config' / 'fastdds.xml')
_BOTH = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_COUNT = 40


def _send(
    domain_id: int, height: int, width: int, publisher_profile: str, subscriber_profile: str
) -> dict[str, list[float]]:
    """Send images from one process to another and return the subscriber's report."""
    size = (str(height), str(width), str(_COUNT))
    with (
        RosProcess(
            _HERE / 'image_subscriber.py',
            *size,
            '40',
            domain_id=domain_id,
            variables=dict.fromkeys(_BOTH, subscriber_profile),
        ) as subscriber,
        RosProcess(
            _HERE / 'image_publisher.py',
            *size,
            domain_id=domain_id,
            variables=dict.fromkeys(_BOTH, publisher_profile),
        ),
    ):
        line = subscriber.wait_for_line(r'^result (.*)$', timeout_s=60.0)
        assert subscriber.wait(10.0) == 0, subscriber.output
    report: dict[str, list[float]] = json.loads(line.group(1))
    return report


@pytest.mark.parametrize(('height', 'width'), [(480, 640), (1080, 1920)])
@pytest.mark.parametrize('subscriber_profile', [_PROFILE, ''], ids=['both', 'publisher_only'])
def test_every_best_effort_image_arrives_whole(
    ros_domain_id: int, height: int, width: int, subscriber_profile: str
) -> None:
    report = _send(ros_domain_id, height, width, _PROFILE, subscriber_profile)

    assert report['numbers'] == list(range(_COUNT))
    assert report['damaged'] == []
    # A loose bound: latency is what repair by retransmission would spoil.
    assert statistics.median(report['latencies_ms']) < 500.0
