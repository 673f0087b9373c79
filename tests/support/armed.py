"""`gridsidecar` with its failpoints armed as GRIDSIDECAR_FAILPOINTS says: `python -m tests.support.armed run …`."""

from __future__ import annotations

import os

from gridsidecar import failpoints
from gridsidecar.cli import main

if __name__ == "__main__":
    failpoints.arm(os.environ.pop(failpoints.VARIABLE, ""))
    main()
