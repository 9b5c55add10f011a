"""What makes and judges data that ships with the project."""
