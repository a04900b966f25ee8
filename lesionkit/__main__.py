"""`python -m lesionkit`: the command, also from a copy that is not installed."""

from lesionkit.cli import main

main()
