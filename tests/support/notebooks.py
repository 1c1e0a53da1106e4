"""Notebooks that tests run: in a program of their own, which ends with its kernel."""

import json
import os
import sys
from pathlib import Path

from programs import run_to_end
from waiting import PATIENCE

ROOT = Path(__file__).parents[2]

INTERRUPT = """
import os as _os, signal as _signal, threading as _threading, time as _time
from pathlib import Path as _Path

def _interrupt(condition):
    while not condition():
        _time.sleep(0.02)
    _os.killpg(_os.getpgid(0), _signal.SIGINT)  # as a notebook's stop button does

def interrupt_when(condition):
    _threading.Thread(target=_interrupt, args=[condition], daemon=True).start()
"""
"""A cell that defines how a later one interrupts its kernel."""


class Shown:
    """What a cell has shown: its stdout and value, its stderr, its displays, its error."""

    def __init__(self, outputs):
        streams = [one for one in outputs if one["output_type"] == "stream"]
        self.text = "".join(one["text"] for one in streams if one["name"] == "stdout")
        self.warnings = "".join(one["text"] for one in streams if one["name"] == "stderr")
        self.displays = [one["data"] for one in outputs if one["output_type"] == "display_data"]
        self.values = [one["data"] for one in outputs if one["output_type"] == "execute_result"]
        errors = [one for one in outputs if one["output_type"] == "error"]
        self.error = f"{errors[0]['ename']}: {errors[0]['evalue']}" if errors else None


def run_cells(folder, *cells):
    """Run cells in a new kernel, in a folder; return what each has shown."""
    import nbformat

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    file = folder / "cells.ipynb"
    nbformat.write(book, file)
    return run_notebook(folder, file)


def run_notebook(folder, file):
    """Run a notebook in a folder; return what each cell has shown."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run_to_end(
        [sys.executable, __file__, file, PATIENCE],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=True,
    )  # fmt: skip
    return [Shown(outputs) for outputs in json.loads(done.stdout)]


if __name__ == "__main__":
    import nbclient
    import nbformat

    book = nbformat.read(sys.argv[1], as_version=4)
    nbclient.NotebookClient(book, timeout=int(sys.argv[2]), allow_errors=True).execute()
    print(json.dumps([cell["outputs"] for cell in book.cells if cell.cell_type == "code"]))
