"""What the template promises about speed, measured: medians of interleaved rounds, and ratios."""
