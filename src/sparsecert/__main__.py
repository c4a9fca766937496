"""`python -m sparsecert`, for launchers that start modules."""

from sparsecert.cli import main

main()
