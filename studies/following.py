"""A process that lives as long as its driver does, and no longer.

The workers of a search have a pipe to their driver, whose end they notice at once. A process that
a library starts for one task only has none: it would wait for ever for somebody to read its result.
"""

import os
import signal
import threading
import time


def follow(driver: int) -> None:
    """Make this fresh process end soon after its parent, the process `driver`, does."""
    # Ctrl-C reaches the whole foreground group; what it means is the driver's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
