"""`python -m evoxtral`: see `evoxtral.cli`."""

from __future__ import annotations

import sys

from evoxtral.cli import main

if __name__ == "__main__":
    sys.exit(main())
