"""An objective that wants too much, in the way that its setting `kind` says."""

import re
import subprocess
import sys
import time

BYTES = 400_000_000


def objective(kind="modest"):
    if kind == "memory":
        held = bytearray(b"x") * BYTES
        time.sleep(600)
        del held
    if kind == "child":
        code = f"held = bytearray(b'x') * {BYTES}; import time; time.sleep(600)"
        subprocess.run([sys.executable, "-c", code], check=True)
    if kind == "forever":  # in C code, which holds Python's lock
        re.match(r"(a+)+$", "a" * 60 + "b")
    return 0.5
