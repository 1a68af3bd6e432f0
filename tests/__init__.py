"""The tests: a mirror of the package's floors, on a real PostgreSQL and with real processes."""
