"""What is done on a CUDA device alone: graphs of stages, copies that nobody waits for.

`stages.py` is what a runtime uses; on other devices it does the plain thing. All calls of
`torch.cuda` are in `device.py`, behind an interface that tests can stand in for.
"""
