"""PostgreSQL: the tables, every SQL statement, connections, the embedded server.

No other room speaks SQL.
"""
