"""Measures Shortwire on the machine it runs on: `make bench`, `make bench-growth`."""
