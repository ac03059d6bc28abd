"""Choices that several commands offer."""

from enum import Enum


class StorageChoice(str, Enum):
    """Formats of a bag."""

    mcap = 'mcap'
    sqlite3 = 'sqlite3'
