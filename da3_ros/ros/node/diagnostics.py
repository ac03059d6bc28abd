"""What the node knows about itself as diagnostic_msgs, once per second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from da3_ros.notes import joined
from da3_ros.reasons import Severity
from da3_ros.ros.messages.geometry_messages import stamp_from_ns
from da3_ros.ros.node.inputs import InputStatus
from da3_ros.ros.reason_board import Active
from da3_ros.stream.stats import StatsSnapshot
from da3_ros.stream.sync_report import SyncReport
from da3_ros.types import AlignmentReport, WindowResult

_LEVELS = {
    Severity.INFO: DiagnosticStatus.OK,
    Severity.WARN: DiagnosticStatus.WARN,
    Severity.ERROR: DiagnosticStatus.ERROR,
}


def _pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_text(value)) for key, value in values.items()]


def _text(value: object) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def camera_status(
    node_name: str,
    status: InputStatus,
    sync: SyncReport,
    reasons: Sequence[Active],
    counts: Mapping[str, int],
) -> DiagnosticStatus:
    """Return the state of one camera: images, drops by cause, lag, and what is wrong with it.

    Args:
        node_name: of the node.
        status: what came from the camera.
        sync: counters of the synchroniser.
        reasons: those of this camera that hold now, the worst first.
        counts: how often each reason was found since the start.
    """
    found = DiagnosticStatus(name=f'{node_name}: camera {status.camera}', hardware_id=node_name)
    values: dict[str, Any] = {
        'topic': status.topic,
        'images': status.images,
        'calibrated': status.calibrated,
        'since last image (s)': status.silent_s,
    }
    values |= {f'found: {name}': count for name, count in counts.items()}
    values |= {f'dropped: {d.cause}': d.count for d in sync.dropped if d.camera == status.camera}
    for camera in sync.cameras:
        if camera.camera == status.camera:
            values['behind the newest (s)'] = (camera.lag_ns or 0) / 1e9
            values['missed sets in a row'] = camera.missed_sets
    found.values = _pairs(values)
    found.level, found.message = _judged(
        reasons, 'images come' if status.images else 'no image yet'
    )
    return found


def pipeline_status(
    node_name: str,
    stats: StatsSnapshot,
    sync: SyncReport,
    dropped_sets: int,
    result: WindowResult | None,
    facts: Mapping[str, object],
    reasons: Sequence[Active] = (),
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
        reasons: those of the stream that hold now, the worst first.
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
        values |= _of_alignment(result.alignment)
    found.values = _pairs(values)
    found.level, found.message = _judged(reasons, 'no window yet' if result is None else 'running')
    if result is None and found.level == DiagnosticStatus.OK:
        found.level = DiagnosticStatus.WARN
    if caution and found.level == DiagnosticStatus.OK:
        found.level, found.message = DiagnosticStatus.WARN, f'{found.message}; {caution}'
    return found


def _of_alignment(report: AlignmentReport) -> dict[str, Any]:
    return {
        'scale': report.scale,
        'scale source': report.scale_source,
        'scale sigma of log': report.scale_log_sigma,
        'conditioning': report.conditioning,
        'views with odometry': f'{report.odometry_views} of {report.views}',
        'metric': report.is_metric,
        'alignment': report.method,
        'note': joined(report.notes),
    }


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


def _judged(reasons: Sequence[Active], well: str) -> tuple[bytes, str]:
    """Return the level of the worst reason and the texts of all, or that all is well."""
    if not reasons:
        return DiagnosticStatus.OK, well
    level = max(_LEVELS[active.reason.severity] for active in reasons)
    return level, ' | '.join(active.text for active in reasons)


def diagnostic_array(now_ns: int, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """Return the statuses as one message."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp_from_ns(now_ns)
    return message
