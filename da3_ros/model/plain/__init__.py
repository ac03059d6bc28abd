"""Small mathematics of the networks in NumPy, one window at a time, for runtimes without torch.

What is here says the same as the torch function of the same name beside it, to rounding, and
draws the same random pixels. The constants that both need are here.
"""
