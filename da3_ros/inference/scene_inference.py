"""From images to a prediction, whatever computes it: checks before, cameras and notes after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
import logging
from typing import Any

from da3_ros.errors import ModelError, PreprocessError
from da3_ros.inference.export_checks import check_before_computing
from da3_ros.inference.forward_pass import ForwardPass, compute, with_given_cameras
from da3_ros.inference.input_size import at_input_size, check_depth_size
from da3_ros.inference.missing_intrinsics import MissingIntrinsics
from da3_ros.inference.prediction import GAUSSIANS, Prediction, write_computed
from da3_ros.inference.prediction_export import readable_path
from da3_ros.inference.scene_request import SceneRequest
from da3_ros.inference.sequence import ImageSequence
from da3_ros.inference.upstream_arguments import least_confidence, with_least_confidence
from da3_ros.model.capabilities import Capabilities, capabilities
from da3_ros.model.config import NetworkConfig
from da3_ros.model.forward import ForwardOptions
from da3_ros.options.choices import DepthSize
from da3_ros.options.export import RESULTS
from da3_ros.options.network import NETWORK
from da3_ros.options.scenes import INPUT
from da3_ros.options.stream import STREAM
from da3_ros.types import Caution

_logger = logging.getLogger(__name__)


class ScenePredictor(ABC):
    """A network that answers `SceneRequest`; how it computes is that of a subclass."""

    _has_cautioned = False

    @property
    @abstractmethod
    def network_config(self) -> NetworkConfig:
        """Configuration of the network."""

    @property
    @abstractmethod
    def caution(self) -> Caution | None:
        """What to know before relying on predictions; None for most."""

    @property
    def capabilities(self) -> Capabilities:
        """What the network gives beyond depth, and takes beyond images."""
        return capabilities(self.network_config)

    @property
    def process_res(self) -> int:
        """Image side that the network was trained for, in pixels."""
        return self.network_config.process_res

    @abstractmethod
    def computes_by(self) -> dict[str, str]:
        """Return `device`, `runtime` and `dtype`, the number format of most of the work."""

    @abstractmethod
    def _forward_pass(self, request: SceneRequest) -> ForwardPass:
        """Return what computes a request.

        Raises:
            ModelError: nothing here can do what is asked.
        """

    def predict(self, request: SceneRequest) -> Prediction:
        """Predict a scene; errors as of `DepthAnything3.inference`."""
        config = self.network_config
        check_before_computing(
            config,
            request.image,
            request.forward,
            request.plan,
            has_poses=request.extrinsics is not None,
        )
        check_depth_size(request.depth_size, request.image, has_gaussians=request.forward.infer_gs)
        self._check_metric(request)
        least = least_confidence(request.conf_thr)
        side = self.process_res if request.process_res is None else request.process_res
        computed = compute(
            self._forward_pass(request),
            request.image,
            (request.extrinsics, request.intrinsics),
            (side, request.process_res_method),
            allow_smaller=request.allow_smaller,
        )
        prediction = with_given_cameras(
            config,
            computed,
            to_input_scale=request.align_to_input_ext_scale,
            to_metric=request.to_metric,
        )
        return self._finished(with_least_confidence(prediction, least), request)

    def sequence(
        self,
        window: int = STREAM.window,
        stride: int = STREAM.stride,
        *,
        align_to_input_ext_scale: bool = INPUT.align_to_input_ext_scale,
        use_ray_pose: bool = NETWORK.use_ray_pose,
        ref_view_strategy: str = NETWORK.ref_view_strategy,
        process_res: int | None = None,
        process_res_method: str = NETWORK.process_res_method,
        to_metric: bool = False,
        depth_size: DepthSize = RESULTS.depth_size,
    ) -> ImageSequence:
        """Return what predicts images that follow each other, in windows; see `ImageSequence`.

        Args:
            window: most images per window.
            stride: new images per window, at most `window`; those before them are shared with the
                window before.
            align_to_input_ext_scale: as the next six, see `DepthAnything3.inference`.
            use_ray_pose: see there; nothing is kept of images then.
            ref_view_strategy: see there.
            process_res: see there.
            process_res_method: see there.
            to_metric: see there.
            depth_size: see there.

        Raises:
            ModelError: window or stride are out of range.
        """
        request = SceneRequest(
            image=(),
            forward=ForwardOptions(use_ray_pose=use_ray_pose, ref_view_strategy=ref_view_strategy),
            align_to_input_ext_scale=align_to_input_ext_scale,
            process_res=self.process_res if process_res is None else process_res,
            process_res_method=process_res_method,
            to_metric=to_metric,
            depth_size=depth_size,
        )
        return ImageSequence(self.predict, request, window, stride)

    def _finished(self, prediction: Prediction, request: SceneRequest) -> Prediction:
        """Bring the size, log the notes, add what comes last, and write what was asked."""
        if request.depth_size == 'input':
            prediction = at_input_size(prediction, request.image)
        paths = tuple(readable_path(item) for item in request.image)
        prediction = replace(prediction, image_paths=paths)
        name = self.network_config.name
        said = set() if request.views is None else request.views.said
        for note in prediction.notes:
            if note not in said:
                _logger.warning('%s: %s', name, note)
                said.add(note)
        prediction = self._with_caution(prediction)
        if prediction.gaussians is not None:
            aux = {**prediction.aux, GAUSSIANS: prediction.gaussians}
            prediction = replace(prediction, aux=aux)
        if prediction.intrinsics is None and self.capabilities.metric:
            missing: Any = MissingIntrinsics(name)
            prediction = replace(prediction, intrinsics=missing)
        if request.plan is not None:
            write_computed(prediction, request.plan)
        return prediction

    def _with_caution(self, prediction: Prediction) -> Prediction:
        """Add the network's caution to the notes, and log it once."""
        if self.caution is None:
            return prediction
        if not self._has_cautioned:
            _logger.warning('%s', self.caution.text)
            self._has_cautioned = True
        notes = (*prediction.notes, self.caution.text)
        return replace(prediction, notes=notes, caution=self.caution.brief)

    def _check_metric(self, request: SceneRequest) -> None:
        if not request.to_metric:
            return
        name = self.network_config.name
        if not self.capabilities.metric:
            raise ModelError(
                f'{name} knows no metres; use da3metric-large with intrinsics, or '
                'da3nested-giant-large'
            )
        if not (self.capabilities.poses or request.intrinsics is not None):
            raise PreprocessError(
                f'to_metric: {name} needs intrinsics, the depth of an image depends on '
                'its focal length; got none'
            )
