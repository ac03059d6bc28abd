"""Where images and messages come from when no camera is there: bags, videos, folders.

Owns reading of ROS 2 bags (`bag`), video files (`video`), folders of images (`images`), COLMAP
datasets (`colmap`, which makes pinhole images of distorted ones) and saved results (`results`).
Knows neither rclpy nor the pipeline.
"""
