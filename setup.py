"""Refuses an installation on native Windows; everything else is in pyproject.toml."""

import sys

from setuptools import setup

if sys.platform == "win32":
    sys.exit(
        "retrial does not run on native Windows: use WSL "
        "(https://learn.microsoft.com/windows/wsl/install), Linux or macOS"
    )
setup()
