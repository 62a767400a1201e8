"""Moves clicks from the stream into PostgreSQL, each exactly once."""
