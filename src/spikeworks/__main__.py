"""``python -m spikeworks`` is the command ``spikeworks``."""

import sys

from spikeworks.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
