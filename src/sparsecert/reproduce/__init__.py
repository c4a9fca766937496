"""The paper's tables and figures.

    sparsecert reproduce table1 --retained 45 --limit 500 --recipe fast

A table is a list of the paper's rows: what was trained, how it was measured, and what the paper
found. `experiment` repeats rows, `overview` sets all results beside the paper's.
"""
