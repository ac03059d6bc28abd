"""Where the official package has its benchmark: says what to use instead."""
