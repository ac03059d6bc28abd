"""Messages of cameras become frames: by the node, and from bags without ROS."""
