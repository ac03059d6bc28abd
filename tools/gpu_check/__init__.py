"""All that needs a CUDA device, checked by one command: `python -m tools.gpu_check --out DIR`.

Runs from a bare copy of `da3_ros`, `tools` and `test/data/golden` with Python, torch and numpy;
parts that need more say what is missing. `plan` lists the parts; each runs in a worker process
with a time limit of its own (`supervisor`), and what it found is kept in DIR (`report`), from
where a later run goes on. Without a CUDA device a small share runs on the CPU.
"""
