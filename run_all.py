"""Do everything: train, tables, figures. See `python run_all.py --help`."""

import sys

from benchmark.cli import run_all

if __name__ == "__main__":
    sys.exit(run_all())
