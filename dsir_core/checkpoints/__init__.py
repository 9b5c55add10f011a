"""Checkpoints and their receipts."""
