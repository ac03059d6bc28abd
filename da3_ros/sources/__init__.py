"""Where images and messages come from when no camera is there: bags and videos.

Owns reading of ROS 2 bags (`bag`) and video files (`video`). Knows neither rclpy nor the
pipeline: what comes out are raw messages and camera frames.
"""
