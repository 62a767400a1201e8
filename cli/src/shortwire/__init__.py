"""The `shortwire` command: run the whole system here, migrate, import."""
