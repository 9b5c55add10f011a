"""Scores from elsewhere, and how they join records."""
