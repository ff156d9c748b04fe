#!/usr/bin/env python3
"""The operator suite of the onnx package (1.16.2): every case but those that
tests/numeric/onnx_suite_skipped.txt lists, with reasons, gives the outputs that
the package ships. The program is tests/numeric/check_onnx_suite.

Environment, besides suite.py's:
    CHECK_ONNX_SUITE  the program (default: the one of COMPRESSCTL's build)
"""

import os
import subprocess
import sys
from pathlib import Path

from suite import ROOT

build = Path(os.environ["COMPRESSCTL"]).resolve().parents[1]
program = os.environ.get("CHECK_ONNX_SUITE") or build / "tests/numeric/check_onnx_suite"
suite = Path(os.environ["INTEROP_DIR"]) / "onnx-suite/node"
sys.exit(subprocess.run([program, suite, ROOT / "tests/numeric/onnx_suite_skipped.txt"]).returncode)
