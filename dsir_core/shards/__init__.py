"""What a worker does for one shard; the driver's side has the same names in `stages`."""
