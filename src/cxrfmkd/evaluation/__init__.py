"""What predictions are worth, with uncertainty."""
