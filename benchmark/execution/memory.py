"""Whether the system ends processes for want of memory (Linux)."""

import re
from pathlib import Path


def oom_kills(root: Path = Path("/")) -> int:
    """Return how many processes the system has ended for want of memory, as far as it tells.

    Counted where this process's own limit is (a container, a SLURM job), else on the machine.
    `root` is the file system's.
    """
    for path in (*_counters(root), root / "proc/vmstat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if count := re.search(r"^oom_kill (\d+)$", text, re.MULTILINE):
            return int(count[1])
    return 0


def _counters(root: Path) -> list[Path]:
    """Return the files of this process's control group that may count: version 2, then 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    groups = {kinds: path.lstrip("/") for _, kinds, path in (line.split(":", 2) for line in lines)}
    paths = []
    if "" in groups:
        paths.append(root / "sys/fs/cgroup" / groups[""] / "memory.events")
    if "memory" in groups:
        # In a container its own group is mounted as the root.
        mounted = root / "sys/fs/cgroup/memory"
        folders = mounted / groups["memory"], mounted
        paths += [folder / "memory.oom_control" for folder in folders]
    return paths
