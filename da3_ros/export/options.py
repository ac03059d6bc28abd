"""What may be chosen about an export, for all formats together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from da3_ros.errors import ExportError
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.options.export import ContentOptions, GlbOptions, GsPlyOptions
from da3_ros.options.table import check_group


@dataclass(frozen=True, slots=True)
class ExportOptions(ContentOptions):
    """Choices of the formats: those of the table, with its names, and those of single formats.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    glb: GlbOptions = field(default_factory=GlbOptions)
    gs_ply: GsPlyOptions = field(default_factory=GsPlyOptions)
    gs_video: GsVideoOptions = field(default_factory=GsVideoOptions)
    by_format: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Format to fields of this class that are others for it, with their values."""

    def of(self, name: str) -> ExportOptions:
        """Return the options as one format shall see them."""
        changes: Mapping[str, Any] = self.by_format.get(name, {})
        return replace(self, by_format={}, **changes)

    def __post_init__(self) -> None:
        """Check the bounds, also of what single formats change."""
        check_group(self, ExportError)
        for name in self.by_format:
            self.of(name)
