"""How much memory a process has, as Linux counts it."""

from pathlib import Path


def memory(field: str, pid: int | str = "self") -> float:
    """Return `VmRSS`, a process's memory, or `VmHWM`, the peak of it, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(kilobytes) / 1024
