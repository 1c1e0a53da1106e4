"""A real MLflow server that serves artifacts, at an address that stays when it is restarted."""

from programs import Program, free_port


class MLflowServer:
    """A server on a database and a folder of artifacts that can be stopped and restarted."""

    def __init__(self, database, artifacts):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = [
            "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1",
            "--backend-store-uri", database, "--artifacts-destination", artifacts,
        ]  # fmt: skip

    def start(self):
        self.program = Program(*self._arguments, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
        self.program.wait_until_it_listens()

    def stop(self):
        self.program.kill()
