"""`python -m tfcass.cli`: the command without its script."""

from tfcass.cli import main

main()
