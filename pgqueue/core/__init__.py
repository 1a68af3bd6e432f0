"""The pure floor: rules and values without I/O, without a clock, without PostgreSQL."""
