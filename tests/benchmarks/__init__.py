"""The instrument: `make bench`. Ratios within one run count, absolute figures only describe a machine."""
