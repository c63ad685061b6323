"""`python -m cxrfmkd` is the command `cxrfmkd`."""

from cxrfmkd.cli import main

main()
