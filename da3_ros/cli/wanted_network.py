"""Which network a command will use, and whether it can do what is asked; nothing is loaded."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import typer

from da3_ros.cli.scene_options import SceneOptions
from da3_ros.errors import ExportError, ModelError
from da3_ros.foreign import expanded

if TYPE_CHECKING:
    from da3_ros.cli.view_check import Measured
    from da3_ros.inference.default_model import ChosenModel
    from da3_ros.model.config import NetworkConfig
    from da3_ros.model.forward import ForwardOptions


class WantedNetwork:
    """The network of a command, by its options and its `config.json` alone.

    Args:
        options: of the command.

    Raises:
        BadParameter: an option makes no sense.
        ExportError: a format does not exist, or lacks what it needs.
    """

    def __init__(self, options: SceneOptions) -> None:
        from da3_ros.export.registry import GAUSSIAN_FORMATS, parse_formats

        self._options = options
        self.formats = parse_formats(options.results.export_format)
        self.layers = options.feature_layers
        asks_for_gs = bool(set(self.formats) & set(GAUSSIAN_FORMATS))
        self.infer_gs = options.prediction.infer_gs or asks_for_gs
        if 'feat_vis' in self.formats and not self.layers:
            raise ExportError(
                'feat_vis: expected --export-feat with the blocks to show, e.g. --export-feat 11'
            )

    @cached_property
    def chosen(self) -> ChosenModel:
        """The model of `--model`, or that of the rule.

        Raises:
            CheckpointError: none was named, and that of the rule cannot be had.
        """
        from da3_ros.inference.default_model import model_or_default

        return model_or_default(self._options.network.model)

    @property
    def checkpoint(self) -> str:
        """Name of the model."""
        return self.chosen.name

    @cached_property
    def config(self) -> NetworkConfig:
        """Configuration of the network, of which no weights are read for that.

        Raises:
            CheckpointError: it cannot be found or read.
        """
        return config_of(self.checkpoint)

    def check(self) -> None:
        """Check that device and network can do what is asked, before weights are loaded.

        Raises:
            BadParameter: there is no such device.
            CheckpointError: there is no such network.
            ModelError: the network gives no Gaussians or confidence, or has no such blocks.
        """
        from da3_ros.inference.export_checks import check_formats
        from da3_ros.model.capabilities import capabilities

        choose_device(self._options.network.device)
        try:
            check_formats(self.config, self.formats, self.forward)
        except ModelError as error:
            raise ModelError(f'{self.checkpoint}: {error}') from error
        if self._options.results.save_conf and not capabilities(self.config).confidence:
            raise ModelError(f'{self.checkpoint}: --save-conf: it gives no confidence')

    @property
    def forward(self) -> ForwardOptions:
        """What is computed."""
        from da3_ros.model.forward import ForwardOptions

        return ForwardOptions(
            self.layers,
            self.infer_gs,
            self._options.network.use_ray_pose,
            self._options.network.ref_view_strategy,
        )

    def check_poses(self, source: Measured) -> None:
        """Refuse formats of one world for images whose poses nobody will know.

        Raises:
            SourceError: an image of the source is none.
            ExportError: names the formats.
        """
        from da3_ros.inference.export_checks import check_views, needs_poses

        if needs_poses(self.config, self.formats, self.forward):
            extent = source.extent()
            check_views(
                self.config,
                self.formats,
                self.forward,
                extent.views,
                has_poses=extent.has_poses,
            )


def config_of(checkpoint: str) -> NetworkConfig:
    """Return the configuration of a network, of which no weights are read for that.

    Args:
        checkpoint: its name or folder, or that of an engine.

    Raises:
        CheckpointError: it cannot be found or read.
    """
    from da3_ros.inference.hub import find_config
    from da3_ros.inference.network_file import read_network_config
    from da3_ros.inference.runtimes.engine_files import CONFIG_NAME, is_engine
    from da3_ros.model.presets import NETWORKS, preset_name

    name, folder = preset_name(checkpoint), expanded(checkpoint)
    if name is not None and not folder.is_dir():
        return NETWORKS[name]
    if is_engine(folder):
        return read_network_config(folder / CONFIG_NAME)
    return read_network_config(find_config(checkpoint))


def choose_device(name: str) -> str:
    """Return the device of a `--device`, the best one for `auto`.

    Raises:
        BadParameter: there is no such device here.
    """
    from da3_ros.inference.runtimes.choose import may_have_gpu
    from da3_ros.inference.runtimes.packages import is_installed

    # Torch takes a second to load, which a runtime without it need not wait for.
    if name == 'cpu' or (name == 'auto' and not (is_installed('torch') and may_have_gpu())):
        return 'cpu'
    import torch

    has_cuda = torch.cuda.is_available()
    has_mps = torch.backends.mps.is_available()
    if name == 'auto':
        return 'cuda' if has_cuda else 'mps' if has_mps else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise typer.BadParameter(f'--device: expected cpu, cuda, mps or auto, got {name!r}') from (
            error
        )
    there = {'cpu': 1, 'cuda': torch.cuda.device_count() if has_cuda else 0, 'mps': int(has_mps)}
    if (device.index or 0) >= there.get(device.type, 0):
        raise typer.BadParameter(
            f'--device: {name} is not available here; use --device auto, and see `da3 doctor`'
        )
    return name
