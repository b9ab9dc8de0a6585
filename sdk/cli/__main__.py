"""`python -m sdk.cli`, where the `grounder` command is not on the path."""

import sys

from sdk.cli import main

if __name__ == "__main__":
    sys.exit(main())
