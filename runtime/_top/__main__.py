"""`python -m midair` is the `midair` command."""

import sys

from midair.console.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
