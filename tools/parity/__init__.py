"""Stored reference outputs and the weights they were made with, for tests and the GPU check."""
