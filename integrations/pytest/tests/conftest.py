"""Tests the plugin of this directory, whether or not one is installed."""

import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
sys.path.insert(0, str(PACKAGE))
pytest_plugins = ["pytester"]
