"""How much memory this process holds; of Linux."""

from pathlib import Path

#: Where Linux tells how much memory a process holds, and is told to forget its peak.
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def kilobytes(what: str) -> float:
    """Return what is held now (``VmRSS``) or at the peak (``VmHWM``), kB; or NaN.

    Not `resource.getrusage`: the peak of the parent is inherited there.
    """
    try:
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(what):
                return float(line.split()[1])
    except OSError:
        pass
    return float("nan")


def forget_peak() -> bool:
    """Let the peak of memory begin anew; returns whether that can be done here."""
    try:
        FORGET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
