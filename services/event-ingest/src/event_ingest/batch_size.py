"""How many entries to read, so that a batch holds about as many clicks as it should. No I/O."""

MAX_ENTRIES = 500  # of one read


class BatchSize:
    """Goes by the last batch: a busy redirector's entries hold hundreds of clicks, an idle one's 1.

    At most twice as many entries as came last: were small ones followed by large ones, a batch of
    some hundred entries would hold a hundred thousand clicks.
    """

    def __init__(self, clicks: int) -> None:
        self._clicks = clicks
        self._last_entries = 1
        self._clicks_per_entry = 1.0

    def entries(self) -> int:
        """Return how many to read."""
        wanted = int(self._clicks / self._clicks_per_entry)
        return max(1, min(MAX_ENTRIES, 2 * self._last_entries, wanted))

    def was(self, entries: int, clicks: int) -> None:
        """Take in what a batch held."""
        self._last_entries = entries
        self._clicks_per_entry = max(1.0, clicks / entries)
