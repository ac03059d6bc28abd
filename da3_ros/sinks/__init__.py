"""Where messages go when nobody listens: ROS 2 bags, written without ROS.

Owns writing of raw messages (`bag`, and `resumable_bag` in steps that survive a kill), the message
definitions that belong to them (`definitions`), messages themselves (`messages`, `data_bytes`) and
recordings of cameras (`camera_bag`). Knows neither rclpy nor the pipeline.
"""
