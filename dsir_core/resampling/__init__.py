"""From log weights to the documents selected."""
