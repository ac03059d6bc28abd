"""One scene from images to files, for every command that does that; the model is loaded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
import time
from typing import TYPE_CHECKING, Any

from da3_ros.cli.reporting import MAX_LINE, in_words, say, show_files
from da3_ros.cli.scene_options import SceneOptions
from da3_ros.cli.scene_predictor import load_predictor
from da3_ros.cli.view_check import Measured, ViewCheck
from da3_ros.cli.wanted_network import WantedNetwork, choose_device
from da3_ros.foreign import plain_line
from da3_ros.options.scenes import INPUT

if TYPE_CHECKING:
    import numpy as np

    from da3_ros.cli.view_check import Predictor
    from da3_ros.export.registry import ExportReport
    from da3_ros.geometry.camera import ImageSize
    from da3_ros.inference.prediction import Prediction
    from da3_ros.inference.preprocess import ImageLike
    from da3_ros.types import ColourImage

_CONFIDENCE_FOLDER = 'conf'


@dataclass(frozen=True, slots=True, eq=False)
class SceneInput:
    """Images of one scene, and what is known of their cameras."""

    source: Path
    """What the user named."""
    images: Sequence[ImageLike]
    files: tuple[Path, ...] = ()
    """The files that hold these very images where they are given as pixels, in the same order."""
    sizes: tuple[ImageSize, ...] = ()
    """Of the images before they were shrunk by `SceneRunner.shrink`; empty where none was."""
    extrinsics: np.ndarray[Any, Any] | None = None
    """(N, 4, 4) camera_from_world; None when unknown."""
    intrinsics: np.ndarray[Any, Any] | None = None
    """(N, 3, 3) in pixels of the images, first pixel centre at (0.5, 0.5); None when unknown."""
    align_to_input_ext_scale: bool = INPUT.align_to_input_ext_scale
    notes: tuple[str, ...] = ()
    """What a user should know about the input."""


@dataclass(frozen=True, slots=True)
class SceneSummary:
    """What became of one scene."""

    source: str
    views: int
    size: tuple[int, int]
    """Height and width of the depth images."""
    is_metric: bool
    export_dir: str
    files: tuple[str, ...]
    """Relative to `export_dir`."""
    points: int
    input_notes: tuple[str, ...]
    """What a user should know about the input."""
    model_notes: tuple[str, ...]
    """The same about the prediction; already logged when it was made, or said by the model."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage."""

    def content(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        content = asdict(self)
        notes = [*content.pop('input_notes'), *content.pop('model_notes')]
        return {**content, 'notes': notes}

    def show(self) -> None:
        """Print the summary for humans."""
        unit = 'metres' if self.is_metric else 'scene units'
        height, width = self.size
        took = ', '.join(f'{name} {in_words(s)}' for name, s in self.seconds.items())
        print(f'{self.views} views of {width}x{height} in {unit}; {took}')
        for note in self.input_notes:
            print(f'note: {plain_line(note, MAX_LINE)}')
        show_files(Path(self.export_dir), self.files)


class SceneRunner:
    """Predicts and exports scenes with one model.

    Args:
        options: of the command.

    Raises:
        BadParameter: an option makes no sense; nothing heavy was done before.
        ExportError: a format does not exist, or lacks what it needs.
    """

    def __init__(self, options: SceneOptions) -> None:
        self.options = options
        self._wanted = wanted = WantedNetwork(options)
        self._view_check = ViewCheck(
            options, lambda: wanted.config, choose_device, infer_gs=wanted.infer_gs
        )
        self.load_s = 0.0
        self._model: Predictor | None = None

    @property
    def checkpoint(self) -> str:
        """Name of the model, which need not be loaded.

        Raises:
            CheckpointError: none was named, and the default cannot be had.
        """
        return self._wanted.chosen.name

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats of the files that a scene becomes."""
        return self._wanted.formats

    @property
    def is_loaded(self) -> bool:
        """Whether the model has been loaded."""
        return self._model is not None

    @property
    def model(self) -> Predictor:
        """The model, loaded at the first call.

        Raises:
            BadParameter: there is no such device.
            CheckpointError: the checkpoint cannot be found or read.
            ModelError: the device cannot do what is asked, or the network has no Gaussians.
        """
        if self._model is None:
            began = time.perf_counter()
            self._model = self._load()
            self.load_s = time.perf_counter() - began
        return self._model

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about the loaded model, whatever the scene."""
        chosen, caution = self._wanted.chosen, self.model.caution
        why = (f'{chosen.name}: {chosen.reason}',) if chosen.reason else ()
        return why if caution is None else (*why, caution.text)

    def description(self) -> dict[str, str]:
        """Return what computes, for the summary."""
        from da3_ros.inference.hub import licence_of

        model = self.model
        return {
            'checkpoint': self.checkpoint,
            'model': model.network_config.name,
            'licence': licence_of(model.network_config.name),
            **model.computes_by(),
        }

    def predict(self, scene: SceneInput) -> Prediction:
        """Return the prediction of a scene.

        Raises:
            PreprocessError: an image cannot be used.
            ModelError: the network cannot do what is asked, or memory does not suffice.
        """
        from da3_ros.inference.prediction_export import readable_path
        from da3_ros.inference.scene_request import SceneRequest

        options = self.options
        prediction = self.model.predict(
            SceneRequest(
                scene.images,
                scene.extrinsics,
                scene.intrinsics,
                self._wanted.forward,
                align_to_input_ext_scale=scene.align_to_input_ext_scale,
                process_res=options.network.process_res or None,
                process_res_method=options.network.process_res_method,
                allow_smaller=options.prediction.allow_smaller,
                depth_size=options.results.depth_size,
            )
        )
        if scene.sizes:
            placements = zip(prediction.placements, scene.sizes, strict=True)
            prediction = replace(
                prediction,
                placements=tuple(replace(placed, original=size) for placed, size in placements),
            )
        if scene.files:
            paths = tuple(readable_path(path) for path in scene.files)
            prediction = replace(prediction, image_paths=paths)
        return prediction

    def check_views(self, source: Measured) -> int | None:
        """Return how many views of a source fit into memory, None where that is not known.

        Before the model is loaded, only what is too much for sure is refused.

        Raises:
            SourceError: an image of the source is none.
            ModelError: it has more views than fit.
        """
        if not self.is_loaded:
            self._wanted.check()
            self._wanted.check_poses(source)
        return self._view_check.check_source(source, self._model)

    def check_images(self, scene: SceneInput) -> None:
        """Check whether the images of a scene fit into memory together.

        Raises:
            SourceError: one of them is none.
            ModelError: they do not fit.
        """
        self._view_check.check_images(scene.source, scene.images, self.model)

    def shrink(self, image: ColourImage) -> ColourImage:
        """Return what is enough of an image (H, W, 3): the network sees the same of it.

        All of it is kept where the results shall have its size.
        """
        from da3_ros.inference.preprocess import bounded

        if self.options.results.depth_size == 'input':
            return image
        network = self.options.network
        side = network.process_res or self.model.process_res
        return bounded(image, side, network.process_res_method)

    def run(self, scene: SceneInput, export_dir: Path, *, overwrite: bool) -> SceneSummary:
        """Predict a scene and write its files, all of them or none.

        Raises:
            PreprocessError: an image cannot be used.
            ModelError: the network cannot do what is asked, or memory does not suffice.
            ExportError: the files cannot be written, or one is in the way.
        """
        began = time.perf_counter()
        self._check_target(scene, export_dir, overwrite=overwrite)
        prediction = self.predict(scene)
        predicted = time.perf_counter()
        report = self._export(prediction, export_dir, overwrite=overwrite)
        files = [path.relative_to(export_dir.resolve()).as_posix() for path in report.files]
        if self.options.results.save_conf:
            files += _write_confidence(prediction, export_dir, overwrite=overwrite)
        return SceneSummary(
            source=str(scene.source),
            views=len(prediction.depth),
            size=(int(prediction.depth.shape[1]), int(prediction.depth.shape[2])),
            is_metric=prediction.is_metric,
            export_dir=str(export_dir),
            files=tuple(dict.fromkeys(files)),
            points=report.points,
            input_notes=scene.notes,
            model_notes=prediction.notes,
            seconds={'predict': predicted - began, 'export': time.perf_counter() - predicted},
        )

    def _check_target(self, scene: SceneInput, export_dir: Path, *, overwrite: bool) -> None:
        """Find before computing what would stop the export.

        Raises:
            ExportError: says what.
        """
        from da3_ros.inference.export_checks import check_before_computing
        from da3_ros.inference.prediction_export import ExportPlan, export_options

        plan = ExportPlan(export_dir, self._wanted.formats, export_options(), overwrite)
        images = scene.files or scene.images
        has_poses = scene.extrinsics is not None
        config = self.model.network_config
        check_before_computing(config, images, self._wanted.forward, plan, has_poses=has_poses)

    def _export(
        self, prediction: Prediction, export_dir: Path, *, overwrite: bool
    ) -> ExportReport:
        from tqdm import tqdm

        options = self.options
        with tqdm(total=100, unit='%', desc='exporting', leave=False, disable=None) as bar:

            def progress(share: float, stage: str) -> None:
                bar.set_postfix_str(stage, refresh=False)
                bar.update(int(100 * share) - bar.n)

            return prediction.export(
                export_dir,
                options.results.export_format,
                save_depth=options.results.save_depth,
                overwrite=overwrite,
                progress=progress,
                conf_thresh_percentile=options.content.conf_thresh_percentile,
                num_max_points=options.content.num_max_points,
                show_cameras=options.glb.show_cameras,
                feat_vis_fps=options.content.feat_vis_fps,
            )

    def _load(self) -> Predictor:
        self._wanted.check()
        say(f'loading {self._wanted.chosen.title}')
        return load_predictor(self._wanted, self.options.network)


def print_model(description: Mapping[str, str], notes: Sequence[str]) -> None:
    """Print what computed, as `SceneRunner.description` and `SceneRunner.notes` say it."""
    from da3_ros.inference.hub import licence_line

    print(
        f'{description["model"]} on {description["device"]} by {description["runtime"]} '
        f'({description["dtype"]}); '
        f'{licence_line(description["model"])}'
    )
    for note in notes:
        print(f'note: {note}')


def _write_confidence(
    prediction: Prediction, export_dir: Path, *, overwrite: bool
) -> tuple[str, ...]:
    """Write the raw confidence of every view and return the names of the files.

    Raises:
        ExportError: the files cannot be written.
    """
    import numpy as np

    from da3_ros.export.files import staged

    assert prediction.conf is not None
    names = tuple(f'{_CONFIDENCE_FOLDER}/{index:04d}.npy' for index in range(len(prediction.conf)))
    owned = [f'{_CONFIDENCE_FOLDER}/[0-9]*.npy']
    with staged(export_dir, names, overwrite=overwrite, owned=owned) as staging:
        (staging / _CONFIDENCE_FOLDER).mkdir()
        for name, confidence in zip(names, prediction.conf, strict=True):
            np.save(staging / name, confidence, allow_pickle=False)
    return names
