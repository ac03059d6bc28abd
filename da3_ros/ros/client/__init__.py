"""Other processes beside the node: a session of their own, and a client of the node."""
