"""From counts to distributions and log ratios."""
