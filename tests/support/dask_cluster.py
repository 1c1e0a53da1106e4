"""A real Dask cluster: a scheduler and workers, each a process on this machine."""

from drivers import OBJECTIVES_PATH
from programs import Program


class Cluster:
    """A scheduler, and the workers that a test starts."""

    def __init__(self):
        self.scheduler = Program(
            "-m", "distributed.cli.dask_scheduler",
            "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        )  # fmt: skip
        self.address = self.scheduler.wait_for(r"Scheduler at: +(tcp://\S+)")[1]
        self.workers = {}

    def start_worker(self, *options, **environment):
        """Start a worker, wait until it has joined, and return its address."""
        worker = Program(
            "-m", "distributed.cli.dask_worker", self.address,
            "--nthreads", "1", "--no-dashboard", "--no-nanny", *options,
            **{"PYTHONPATH": OBJECTIVES_PATH, **environment},
        )  # fmt: skip
        address = worker.wait_for(r"Start worker at: +(tcp://\S+)")[1]
        worker.wait_for("Registered to:")
        self.workers[address] = worker
        return address

    def kill_worker(self, address):
        self.workers.pop(address).kill()

    def remove_workers(self):
        for address in list(self.workers):
            self.kill_worker(address)

    def close(self):
        self.remove_workers()
        self.scheduler.kill()
