"""`python -m property_tests.simulation`: see `runner`."""

import sys

from property_tests.simulation.runner import main

if __name__ == "__main__":  # not where the processes that share the work import it
    sys.exit(main())
