"""Programs for those who work on the package; not part of it."""
