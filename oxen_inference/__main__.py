"""Run the command line: `python -m oxen_inference`."""

import sys

from oxen_inference.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
