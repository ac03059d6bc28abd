"""Where messages go when nobody listens: ROS 2 bags, written without ROS.

Owns writing of raw messages (`bag`), the message definitions that belong to them (`definitions`)
and recordings of cameras (`camera_bag`). Knows neither rclpy nor the pipeline.
"""
