"""An index of Python's standard library, made by jobs: what `pgqueue demo` runs.

Read `tasks.py` first, then `enqueue.py`. `audit.py` does not trust them, and `report.sql` asks the
database what happened.
"""
