"""`python -m sdk.cli`, where the `grounder` command is not on the path."""

import sys

from sdk.cli import main

sys.exit(main())
