"""What the node knows about itself as diagnostic_msgs, once per second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from da3_ros.notes import joined
from da3_ros.ros.messages.geometry_messages import stamp_from_ns
from da3_ros.ros.node.inputs import InputStatus
from da3_ros.stream.stats import StatsSnapshot
from da3_ros.stream.sync_report import SyncReport
from da3_ros.types import WindowResult

_STALLED_AFTER_S = 10.0


def _pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_text(value)) for key, value in values.items()]


def _text(value: object) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def camera_status(
    node_name: str, status: InputStatus, faults: dict[str, int], sync: SyncReport
) -> DiagnosticStatus:
    """Return the state of one camera: images, faults by field, drops by cause, lag."""
    found = DiagnosticStatus(name=f'{node_name}: camera {status.camera}', hardware_id=node_name)
    values: dict[str, Any] = {
        'topic': status.topic,
        'images': status.images,
        'calibrated': status.calibrated,
        'since last image (s)': status.silent_s,
    }
    values |= {f'faults: {field}': count for field, count in faults.items()}
    values |= {f'dropped: {d.cause}': d.count for d in sync.dropped if d.camera == status.camera}
    for camera in sync.cameras:
        if camera.camera == status.camera:
            values['behind the newest (s)'] = (camera.lag_ns or 0) / 1e9
            values['missed sets in a row'] = camera.missed_sets
    found.values = _pairs(values)
    if status.problem:
        found.level, found.message = DiagnosticStatus.ERROR, status.problem
    elif status.camera in sync.late_cameras:
        found.level, found.message = DiagnosticStatus.WARN, 'late: sets go out without it'
    elif faults:
        fields = ', '.join(faults)
        found.level, found.message = DiagnosticStatus.WARN, f'faulty messages: {fields}'
    else:
        found.level, found.message = DiagnosticStatus.OK, 'images come'
    return found


def pipeline_status(
    node_name: str,
    stats: StatsSnapshot,
    sync: SyncReport,
    dropped_sets: int,
    result: WindowResult | None,
    facts: Mapping[str, object],
    *,
    caution: str = '',
) -> DiagnosticStatus:
    """Return the state of the stream: rates, latencies, drops, scale with its source.

    Args:
        node_name: of the node.
        stats: counts, rates and latencies.
        sync: counters of the synchroniser.
        dropped_sets: sets never given to the estimator.
        result: the newest, None before the first.
        facts: what else there is to say, by name: lifecycle state, model, device, memory.
        caution: why results are not to be relied on though all runs well; empty when they are.
    """
    found = DiagnosticStatus(name=f'{node_name}: stream', hardware_id=node_name)
    values: dict[str, Any] = {
        **facts,
        'windows': stats.counters.get('windows', 0),
        'window rate (Hz)': stats.rates_hz.get('windows', 0.0),
        'set rate (Hz)': stats.rates_hz.get('sets', 0.0),
        'sets': sync.sets,
        'partial sets': sync.partial_sets,
        'dropped sets': dropped_sets,
        'dropped frames': sum(drop.count for drop in sync.dropped),
        'failed windows': stats.counters.get('failed_windows', 0),
        'refused windows': stats.counters.get('refused_windows', 0),
        'late cameras': ', '.join(sync.late_cameras),
        'unwanted windows': stats.counters.get('unwanted_windows', 0),
    }
    by_cause: Counter[str] = Counter()
    for drop in sync.dropped:
        by_cause[drop.cause] += drop.count
    values |= {f'dropped: {cause}': count for cause, count in by_cause.items()}
    for name in ('stamp_to_publish', 'estimate'):
        if name in stats.latencies:
            summary = stats.latencies[name]
            values[f'{name} p50 (ms)'] = summary.p50_s * 1e3
            values[f'{name} p95 (ms)'] = summary.p95_s * 1e3
    if result is not None:
        a = result.alignment
        values['scale'] = a.scale
        values['scale source'] = a.scale_source
        values['scale sigma of log'] = a.scale_log_sigma
        values['conditioning'] = a.conditioning
        values['views with odometry'] = f'{a.odometry_views} of {a.views}'
        values['metric'] = a.is_metric
        values['alignment'] = a.method
        values['note'] = joined(a.notes)
    found.values = _pairs(values)
    found.level, found.message = _judge(stats, result)
    if caution and found.level == DiagnosticStatus.OK:
        found.level, found.message = DiagnosticStatus.WARN, f'{found.message}; {caution}'
    return found


def idle_status(
    node_name: str, facts: Mapping[str, object], state: str, failure: str
) -> DiagnosticStatus:
    """Return the state of a node that is not configured.

    Args:
        node_name: of the node.
        facts: what there is to say, by name.
        state: of the lifecycle.
        failure: why the last transition failed; empty when it did not.
    """
    found = DiagnosticStatus(name=f'{node_name}: stream', hardware_id=node_name)
    found.values = _pairs(dict(facts))
    found.level, found.message = DiagnosticStatus.WARN, state
    if failure:
        found.level, found.message = DiagnosticStatus.ERROR, f'{state}: {failure}'
    return found


def _judge(stats: StatsSnapshot, result: WindowResult | None) -> tuple[bytes, str]:
    if result is None:
        return DiagnosticStatus.WARN, 'no window yet'
    rate_hz = stats.rates_hz.get('windows', 0.0)
    if stats.counters.get('windows', 0) > 1 and rate_hz < 1 / _STALLED_AFTER_S:
        return DiagnosticStatus.WARN, f'less than one window in {_STALLED_AFTER_S:g} s'
    if not result.alignment.is_metric:
        return DiagnosticStatus.WARN, 'not metric: depth and poses have a unit of their own'
    return DiagnosticStatus.OK, 'running'


def diagnostic_array(now_ns: int, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """Return the statuses as one message."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp_from_ns(now_ns)
    return message
