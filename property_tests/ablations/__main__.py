"""`python -m property_tests.ablations`: see `runner`."""

import sys

from property_tests.ablations.runner import main

if __name__ == "__main__":  # not where the processes that share the work import it
    sys.exit(main())
