"""What Linux and macOS do differently: each fact with a form that both have."""

import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil


def processor() -> str:
    """Return the name of the processor; empty where the system does not tell."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(
            command, capture_output=True, check=True, timeout=10, text=True
        ).stdout.strip()
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def birth(pid: int) -> str | None:
    """Return the start time of a process, on Linux independent of clock corrections.

    None stands for a process that has ended, even if its parent has not reaped it yet.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            # After the name, which may contain anything: the 22nd field, clock ticks since boot.
            _, _, fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")
            return f"{boot} {fields.split()[19]}"
        except FileNotFoundError:  # not Linux, or ended since
            return f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
