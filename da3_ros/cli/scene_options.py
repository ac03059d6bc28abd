"""The options that `da3 auto`, `image`, `images`, `video` and `colmap` share.

A command takes them all by a parameter of this type, see `table_options.takes_options`.
"""

from __future__ import annotations

from dataclasses import dataclass

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.options import EstimatorOptions, PredictionOptions
from da3_ros.options.export import ContentOptions, GlbOptions, ResultOptions
from da3_ros.options.table import Entrance, OptionValue, specs_of

takes_scene_options = takes_options(Entrance.SCENES)


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """Everything the five commands have in common."""

    network: EstimatorOptions
    prediction: PredictionOptions
    content: ContentOptions
    glb: GlbOptions
    results: ResultOptions

    @property
    def feature_layers(self) -> tuple[int, ...]:
        """Blocks of `--export-feat`.

        Raises:
            BadParameter: it is no list of block numbers.
        """
        text = self.results.export_feat
        parts = [part.strip() for part in text.split(',') if part.strip()]
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise typer.BadParameter(f'--export-feat: expected numbers like 5,11, got {text!r}')
        return tuple(dict.fromkeys(int(part) for part in parts))

    def deciding(self) -> dict[str, OptionValue]:
        """Return name to value of the options that decide what is in the files."""
        groups = (self.network, self.prediction, self.content, self.glb, self.results)
        return {
            spec.name: getattr(group, spec.name)
            for group in groups
            for spec in specs_of(group, Entrance.SCENES)
            if spec.changes_files
        }
