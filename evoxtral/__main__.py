"""`python -m evoxtral`: see `evoxtral.cli`."""

import sys

from evoxtral.cli import main

if __name__ == "__main__":
    sys.exit(main())
