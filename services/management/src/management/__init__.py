"""The HTTP API for users, URLs and events, and the relay that announces changes."""
