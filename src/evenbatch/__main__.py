"""`python -m evenbatch` is the command `evenbatch`."""

from evenbatch.cli import main

main()
