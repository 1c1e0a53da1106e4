"""Python without what only Linux has, for every process with this folder in PYTHONPATH.

The names of `os`, `select` and `signal` that macOS lacks are removed, and our code finds no /proc
and no /sys. (Libraries such as psutil read them here, and ask the kernel on macOS.)
"""

import builtins
import io
import os
import select
import signal
import sys

NAMES = {
    os: (
        "sched_getaffinity", "sched_setaffinity", "sched_getscheduler", "sched_setscheduler",
        "pidfd_open", "memfd_create", "eventfd", "splice", "copy_file_range", "getrandom",
        "posix_fallocate", "posix_fadvise", "fdatasync", "pipe2", "getxattr", "setxattr",
        "setresuid", "setresgid", "getresuid", "getresgid", "unshare", "O_TMPFILE",
    ),
    select: ("epoll",),
    signal: (
        "SIGPWR", "SIGSTKFLT", "SIGPOLL", "SIGCLD", "SIGRTMIN", "SIGRTMAX", "sigtimedwait",
        "sigwaitinfo",
    ),
}  # fmt: skip

for module, names in NAMES.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

_open = builtins.open


def _without_proc(file, *arguments, **options):
    if str(file).startswith(("/proc", "/sys/")):
        caller = sys._getframe(1)
        while "/pathlib" in caller.f_code.co_filename:  # a file, since Python 3.13 a folder
            caller = caller.f_back
        path = caller.f_code.co_filename
        if "site-packages" not in path and not path.startswith(sys.base_prefix):
            raise FileNotFoundError(2, os.strerror(2), str(file))
    return _open(file, *arguments, **options)


builtins.open = io.open = _without_proc
os.environ["WITHOUT_LINUX"] = "1"
