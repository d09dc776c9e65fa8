"""Do everything: train, tables, figures. See `python run_all.py --help`."""

from benchmark.__main__ import start

if __name__ == "__main__":
    start("run_all")
