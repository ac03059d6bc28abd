"""Why an output does not come, or comes with a loss: one table, for log, /diagnostics and docs."""

from da3_ros.reasons.recorded import recorded_text
from da3_ros.reasons.row import Row, Severity
from da3_ros.reasons.table import Reason

__all__ = ['Reason', 'Row', 'Severity', 'recorded_text']
