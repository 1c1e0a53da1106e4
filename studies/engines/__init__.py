"""Where trials run: the processes of this machine, or a cluster."""

from studies.engines.base import Engine as Engine
