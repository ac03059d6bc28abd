"""Pixels of image files, whatever the format: one rule for every entrance.

Grey, palettes, CMYK, 1, 12, 16 and 32 bits become uint8 RGB; what is transparent is remembered
beside the colours. Colour profiles (ICC) and gamma tags are not applied, as in the official code.
"""
