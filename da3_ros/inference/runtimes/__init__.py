"""What computes the stages of a network: torch, OpenVINO or ONNX Runtime, behind one interface.

`stages.py` is the interface and knows arrays only. Everything but the torch runtime works where
torch is not installed.
"""
