"""``python -m genoplrp``: the command line."""

from genoplrp.cli.main import main

main()
