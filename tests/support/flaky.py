"""A server's address that fails: connections are dropped, frozen, or answered with an error."""

import contextlib
import select
import socket
import threading

ERROR = b"HTTP/1.1 500 trouble\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntrouble"


class FlakyAddress:
    """Passes connections on to a port of this machine, unless there is `trouble`."""

    TROUBLES = ("error", "drop", "freeze")

    def __init__(self, port):
        self._port = port
        self._trouble = None
        self._open = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    @contextlib.contextmanager
    def trouble(self, kind):
        """Have one kind of trouble inside the context, also on open connections."""
        self._trouble = kind
        if kind != "freeze":
            self._drop()
        try:
            yield
        finally:
            self._trouble = None
            self._drop()

    def close(self):
        self._listening.close()
        self._drop()

    def _drop(self):
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _listen(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self._trouble == "drop":
                return
            if self._trouble == "error":
                connection.recv(65536)
                connection.sendall(ERROR)
                return
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                self._open |= {connection, server}
                try:
                    self._pass_on({connection: server, server: connection})
                finally:
                    self._open -= {connection, server}

    def _pass_on(self, other):
        while True:
            ready, _, _ = select.select(list(other), [], [], 0.2)
            for one in ready if self._trouble != "freeze" else ():
                if not (content := one.recv(65536)):
                    return
                other[one].sendall(content)
