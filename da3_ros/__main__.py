"""`python -m da3_ros` is the `da3` command."""

from da3_ros.cli.main import run

if __name__ == '__main__':
    run()
