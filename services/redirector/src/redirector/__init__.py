"""Answers short links from its memory, Redis or PostgreSQL, and records each click."""
