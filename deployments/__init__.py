"""What a schedule, an image or a cluster needs."""
