"""From URLs to documents: listing, sharding, reading, and the account of what was read."""
