"""The table of reasons: why an output does not come, or comes with a loss.

One row for every cause. Whoever finds it names the row and fills in what was measured; the words
stand here only, and docs/troubleshooting.md is written from them (tools/reason_docs.py).
"""

from __future__ import annotations

from enum import Enum

from da3_ros.reasons.row import Row, Severity

_ERROR, _WARN, _INFO = Severity.ERROR, Severity.WARN, Severity.INFO


class Reason(Enum):
    """Why an output does not come as it should."""

    # ---- a camera gives nothing
    CAMERA_NOT_PUBLISHED = Row(
        _ERROR,
        'camera {owner}: no images on {topic} for {silent_s:.1f} s (limit {limit_s:g} s); nobody '
        'publishes it. Check the parameter cameras and remappings.',
        'No publisher of the topic is known: the driver is not running, has another name or '
        'namespace, or another ROS_DOMAIN_ID.',
        'Compare `ros2 topic list` with the topic in the text; set `cameras` or remap.',
    )
    CAMERA_QOS = Row(
        _ERROR,
        'camera {owner}: no images on {topic} for {silent_s:.1f} s (limit {limit_s:g} s); '
        'incompatible QoS: {publishers} publishes best effort, image_reliability or qos_overrides '
        'asks for reliable. Set it to best_effort.',
        'A reliable subscription does not match a best-effort publisher.',
        'Leave `image_reliability` at best_effort.',
    )
    CAMERA_UNHEARD = Row(
        _ERROR,
        'camera {owner}: no images on {topic} for {silent_s:.1f} s (limit {limit_s:g} s), though '
        '{publishers} publishes it: it has not begun to send, or its images are lost on the way. '
        "Large ones need a tuned transport in the publisher's process, see config/fastdds.xml.",
        'The publisher is there, and nothing of it has ever arrived: it has not begun to send, or '
        'the transport loses large images.',
        'Look at `ros2 topic hz`; use the profile `config/fastdds.xml`; run `da3 doctor`.',
    )
    CAMERA_STOPPED = Row(
        _ERROR,
        'camera {owner}: no images on {topic} for {silent_s:.1f} s (limit {limit_s:g} s); '
        '{images} came before. {others}',
        'A camera that gave images does no more: its driver died, hangs, or is paused.',
        'Look at the driver and the cable. Sets go out without the camera when `min_cameras` '
        'allows it.',
    )
    IMAGES_REFUSED = Row(
        _ERROR,
        '{problem} (none of the last {images} images could be used)',
        'Images come, and none can be used: unknown encoding, too few bytes, zero stamp, too many '
        'pixels (`max_image_pixels`), a crop that does not fit (`input.<camera>.crop_px`), a lens '
        'distortion that cannot be undone (`rectify`).',
        'The text names the field of the message, what was expected and what came.',
    )
    IMAGES_DROPPED = Row(
        _WARN,
        '{problem} ({refused} of the last {images} images could not be used)',
        'Some images of a camera cannot be used, others can: packets are lost, the driver begins '
        'with images that are not whole.',
        'The text names the field of the message, what was expected and what came.',
    )

    # ---- cameras do not come together
    CAMERAS_OUT_OF_PHASE = Row(
        _ERROR,
        'camera {owner}: its images are always {offset_ms:.1f} ms from those of camera {other}, '
        'and sync_tolerance_s allows {limit_ms:.1f} ms: they never meet in a set. Trigger the '
        'cameras together, or set sync_tolerance_s to {needed_s:g} or more and accept the motion '
        'between them.',
        'Two cameras run freely, with a constant offset of their stamps that is larger than '
        '`sync_tolerance_s`.',
        'Trigger the cameras, or raise `sync_tolerance_s`: the rig moves between the images of a '
        'set by speed times that.',
    )
    CLOCKS_APART = Row(
        _ERROR,
        'camera {owner}: its stamps are {offset_s:.3f} s from those of camera {other} that arrive '
        'at the same time (limit: sync_tolerance_s + sync_wait_s, {limit_s:g} s): their clocks '
        'differ{guess}. Stamp both by one clock{or_wait}.',
        'The stamps of two cameras come from clocks that differ: one counts since boot, one has '
        'another time zone, one is not synchronised (NTP, PTP). Images that are always late look '
        'the same.',
        'Let all drivers stamp with the system clock, or synchronise the machines. Where images '
        'are late, raise `sync_wait_s`. The largest group of cameras that agree gives sets, of '
        "equal ones the one with the node's clock; where both or none have that there are none.",
    )
    CAMERA_LATE = Row(
        _WARN,
        'camera {owner}: {missed_sets} sets in a row went out without it, or with it alone; '
        '{problem}.',
        'Images of one camera arrive so late that sets do not wait for them, their stamps are '
        'near those of the others only now and then, or they stand still.',
        'Raise `sync_wait_s` or `sync_tolerance_s`, or look at what delays the camera.',
    )
    CAMERA_AWAITED = Row(
        _WARN,
        'camera {owner}: no image that can be used has come; sets wait for it {left_s:.1f} s more '
        'at most (limit {limit_s:g} s), then go out without it (min_cameras is {min_cameras}).',
        'The first sets wait for cameras that have never come.',
        'Nothing, when the camera is about to start.',
    )

    # ---- time
    NO_CLOCK = Row(
        _WARN,
        'use_sim_time is true, and no /clock has come for {silent_s:.1f} s (limit {limit_s:g} s): '
        'time stands still at {now_s:.3f} s. Start what publishes /clock (a simulator, '
        '`da3 play --clock`), or set use_sim_time to false.',
        '`use_sim_time` is set, and nobody publishes /clock. Depth comes, since the stamps of '
        'images decide; latencies are wrong, and so is the stamp of /diagnostics.',
        'Start the simulator or the player with a clock, or set `use_sim_time` to false.',
    )
    CLOCK_FAR_OFF = Row(
        _WARN,
        "camera {owner}: its stamps are {offset_s:.3f} s {direction} this node's clock (limit "
        '{limit_s:g} s){guess}. Others may not find TF at these stamps, and the latency that is '
        'reported is off by it.',
        'The stamps of images and the clock of the machine differ: since boot, another time zone, '
        'a bag that is played without /clock.',
        'Stamp with the system clock; with bags play /clock and set `use_sim_time`.',
    )
    STAMP_OUTLIER = Row(
        _WARN,
        'camera {owner}: an image has a stamp {offset_s:.3f} s {direction} the one before; it is '
        'left out, and the world goes on.',
        'One image with a stamp that does not fit its neighbours: a late packet, a faulty driver.',
        'Look at the driver, when it comes often.',
        lasts=False,
    )
    CLOCK_JUMPED = Row(
        _WARN,
        '{whose}: time jumped {direction} by {offset_s:.3f} s{where}; the new time is used.',
        'Several images of a camera in a row, or /clock, went on at another time: a clock that '
        'was set, by NTP for example.',
        'Nothing, when it was meant. Cameras that do not jump together are named as apart.',
        lasts=False,
    )
    WORLD_RESTARTED = Row(
        _WARN,
        'the world starts anew: {problem}',
        'Several images in a row, or /clock, jumped back: a bag that starts again, a simulator '
        'that was reset, a clock that was set.',
        'Nothing, when it was meant.',
        lasts=False,
    )

    # ---- calibration and content of images
    CALIBRATION_MISSING = Row(
        _WARN,
        'camera {owner}: no camera_info on {topic} after {images} images in {waited_s:.1f} s: '
        "{why}. The network's own intrinsics are used, and no focal length gives the metre.",
        'The driver publishes no CameraInfo, on another topic, or with other QoS.',
        'Publish it, or remap `<camera>/camera_info`.',
    )
    CALIBRATION_SIZE = Row(
        _WARN,
        '{source}, {problem}; {used}. Calibrate at the size that is sent.',
        'CameraInfo (after region of interest and binning) is for another size than the images. '
        'Whether they were scaled or cropped is not known, so that K is not scaled.',
        'Calibrate at the size that is sent, or send CameraInfo that was scaled with the image.',
    )
    CALIBRATION_IMPLAUSIBLE = Row(
        _WARN,
        '{source}, {problem}; {used}. Calibrate the camera.',
        'K is the identity or zero, its focal length is below 0.2 or above 20 image widths, its '
        'principal point is more than half an image outside, or region of interest and binning '
        'are applied already.',
        'Calibrate the camera. For raw images K holds, else P; for rectified ones P; else the '
        'intrinsics of the network.',
    )
    DISTORTION_LEFT = Row(
        _WARN,
        '{source}, field d: lens distortion ({distortion}) is not undone here; depth near the '
        'borders is off by it. {advice}; or rectify upstream (image_proc), remap image_raw to '
        'image_rect, and where the topic has another name set camera_info_is to rectified.',
        'CameraInfo has coefficients of distortion, and `rectify` is off.',
        'Set `rectify`, or feed rectified images and say so with `camera_info_is`.',
    )
    NOTHING_TO_RECTIFY = Row(
        _INFO,
        'camera {owner}: rectify is true and the images on {topic} are rectified already '
        '(camera_info_is: {choice}), so that nothing is undone. Set camera_info_is to raw if '
        'they are not.',
        '`rectify` is set, and the images are rectified upstream.',
        'Leave `rectify` false, or set `camera_info_is` to raw.',
    )
    IMAGE_DARK = Row(
        _WARN,
        'camera {owner}: {encoding} images use {bits} of {limit} bits (largest value {largest}), '
        'so that they are almost black for the network; set mono16_bits to {bits} to use them '
        'whole.',
        'A sensor of 10 or 12 bits sends 16-bit images without shifting.',
        'Set `mono16_bits`.',
    )
    IMAGE_BRIGHT = Row(
        _WARN,
        'camera {owner}: {encoding} images have values up to {largest}, and with mono16_bits '
        '{limit} all above {limit_value} are white; set mono16_bits to {bits}.',
        '`mono16_bits` is less than the sensor uses.',
        'Set `mono16_bits`.',
    )
    IMAGE_CUT = Row(
        _WARN,
        '{source}, field data: {problem}; it is used.',
        'A JPEG lacks its end marker, though all rows are there.',
        'Look at the driver or the link, when it comes often.',
    )
    VIEW_CROPPED = Row(
        _WARN,
        'camera {owner}: {lost_percent:.0f} % of its view is cut off, because the images of one '
        'window have different shapes (its own has {shape} pixels for the network, {kept} are '
        'common to all); set input.<camera>.rotation_deg or crop_px so that they are alike.',
        'One window has images of different shapes, for example landscape and portrait, and the '
        'network takes one shape.',
        'Give cameras one orientation and shape: `input.<camera>.rotation_deg`, `crop_px`.',
    )

    # ---- frames and TF
    FRAME_MISSING = Row(
        _WARN,
        '{source}, field header.frame_id: it is empty, so that there is no TF for this camera and '
        'its clouds have no frame; set it in the driver.',
        'The driver sets no frame_id.',
        'Set the frame id parameter of the driver.',
    )
    FRAME_SHARED = Row(
        _ERROR,
        'frame {owner}: cameras {cameras} have the same frame_id, and a frame is at one place '
        'only; no transform of it is published. Give each camera a frame_id of its own.',
        'Two cameras send images with one frame_id, for example two drivers with default names.',
        'Set the frame id parameter (or `camera_name`) of each driver.',
    )
    FRAME_NOT_OPTICAL = Row(
        _WARN,
        'camera {owner}: frame {frame} does not look like an optical frame (z ahead, x right, y '
        'down, REP 103): {problem}. Depth images are right, poses and clouds are rotated. Set the '
        "driver's frame_id to the optical frame.",
        'Images carry the frame of the body of the camera (x ahead), as in Gazebo by default.',
        'Publish `<camera>_link` to `<camera>_optical_frame` and set the frame id to the latter.',
    )
    TF_TAKEN = Row(
        _INFO,
        'frame {owner}: {parent} to {owner} is published on {topic} by {publishers}; this node '
        'does not publish it ({parameter} is auto) until {limit_s:g} s have gone without it.',
        'Somebody else, for example the wheel odometry, publishes the same transform.',
        'Nothing: this is what `publish_tf: auto` is for.',
    )
    TF_CONFLICT = Row(
        _ERROR,
        'frame {owner}: this node publishes {own_parent} to {owner}, and {publishers} publishes '
        '{parent} to {owner} on {topic}, and a frame has one parent only; set {parameter} to '
        'auto or false.',
        '`publish_tf` (or `publish_map_tf`) is true, and another node publishes a transform of '
        'the same frame.',
        'Set `publish_tf` to auto or false.',
    )
    TF_TWO_PARENTS = Row(
        _ERROR,
        'frame {owner}: it has the parents {parents} on {topic}, and a frame has one parent only; '
        'the newest is used.',
        'Two nodes publish one frame with different parents.',
        'Find them with `ros2 run tf2_tools view_frames`; end one of them.',
    )
    TF_LOOP = Row(
        _ERROR,
        'frame {owner}: {chain} is a loop; nothing below it has a place.',
        'Transforms lead from a frame back to itself.',
        'Find who publishes them with `ros2 run tf2_tools view_frames`.',
    )
    TF_BAD = Row(
        _WARN,
        '{problem}',
        'A transform on /tf or /tf_static is none: a zero stamp, a quaternion of zero, NaN.',
        'The text names topic and frame.',
    )
    TF_CLOCK = Row(
        _WARN,
        '/tf: stamps jumped back, so that its history is forgotten.',
        'The stamps on /tf jumped back, as after a reset of a simulator.',
        'Nothing, when it was meant.',
        lasts=False,
    )
    POSE_MISSING = Row(
        _WARN,
        '{problem}',
        'No pose of `prior_frame` is known for the stamp of the images: the odometry is silent, '
        'late, or its clock differs.',
        'Look at the odometry; raise `tf_wait_s` when it is late.',
    )
    RIG_UNKNOWN = Row(
        _INFO,
        'where on the robot these cameras sit is not known: {cameras}. Poses are in the unit and '
        'frame of the first window for as long as no camera is known; set '
        'rig.<camera>.base_from_camera or publish base frame to optical frame on /tf_static.',
        'Neither parameters nor TF connect `base_frame` with the frame of the camera.',
        'Publish a URDF (robot_state_publisher), or set `rig.<camera>.base_from_camera`.',
    )

    # ---- windows
    WINDOW_REFUSED = Row(
        _ERROR,
        'window {index}: {problem}',
        'What the network or the odometry says of a window cannot be used.',
        'The text names the camera and the quantity. One window now and then costs nothing else.',
    )
    WINDOW_FAILED = Row(
        _ERROR,
        '{problem}',
        'The network failed on a window: memory, a broken device, a fault of the program.',
        'The text has the error; with out of memory use a smaller network, `process_res` or '
        '`window`.',
    )
    NO_POSES = Row(
        _ERROR,
        '{problem}',
        'A network without poses (da3mono, da3metric) got a window of several views, and neither '
        'odometry nor a rig gave their poses.',
        'Look at the odometry of `prior_frame`, or use `window: 1`, or a network with poses.',
    )
    SCALE_UNKNOWN = Row(
        _WARN,
        'depth and poses are in a unit of their own, not metres (scale_source is {scale_source}): '
        '{problem}',
        'No source of the metre is there: one camera without odometry, a network without metres.',
        'See docs/scale.md: odometry (`prior_frame`), a calibrated rig, a metric network.',
    )
    WINDOW_DOUBT = Row(
        _WARN,
        '{problem}',
        'A window was used, with a doubt: views, rig or odometry contradict each other, or its '
        'scale or its place could not be measured.',
        'The text says what was measured; docs/scale.md explains it.',
    )
    WINDOW_NOTE = Row(
        _INFO,
        '{problem}',
        'Something about the scale or the place of the world changed.',
        'Nothing; docs/scale.md explains it.',
        lasts=False,
    )
    OVERLOADED = Row(
        _INFO,
        'sets come at {sets_hz:.1f} Hz and windows at {windows_hz:.1f} Hz (stride {stride}): '
        '{dropped_percent:.0f} % of the sets get no depth, the newest ones do. For more use a '
        'smaller model or process_res, or fewer cameras.',
        'The network is slower than the cameras; the newest sets are used.',
        'A smaller `model` or `process_res`, a GPU; or leave it so.',
    )
    STALLED = Row(
        _ERROR,
        'sets come, and no window has ended for {silent_s:.1f} s (limit {limit_s:.0f} s): the '
        'network is still at work on one. Use a smaller model, process_res or window.',
        'One window takes longer than the limit: a large network on a CPU, a device that hangs.',
        'Use a smaller `model`, `process_res` or `window`; see `stream` on /diagnostics.',
    )

    # ---- nothing is wrong
    NOT_WANTED = Row(
        _INFO,
        'nobody subscribes to an output, no TF is published and no scene is kept (scene_sets): no '
        'depth is computed.',
        'Nothing is computed that nobody has use for.',
        'Subscribe to an output.',
    )
    DISABLED = Row(
        _INFO,
        'disabled by ~/enable: images are not subscribed to.',
        'The service ~/enable was called with false.',
        'Call ~/enable with true.',
    )
    INACTIVE = Row(
        _INFO,
        'the node is {state}: no images are subscribed to.',
        'The lifecycle of the node is not active.',
        '`ros2 lifecycle set <node> activate`, or leave `autostart` true.',
    )

    @property
    def severity(self) -> Severity:
        """How much is lost."""
        return self.value.severity
