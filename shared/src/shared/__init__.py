"""What the services agree on; it imports none of them."""
