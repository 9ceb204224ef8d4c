"""`python -m arcade_cloud.entrypoints.cli` is `arcade-cloud`."""

import sys

from arcade_cloud.entrypoints.cli import main

if __name__ == "__main__":
    sys.exit(main())
