"""The node: from camera topics to what is published of them."""
