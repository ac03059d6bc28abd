"""TF: what is read of the tree and what is published into it."""
