"""From raw files to records and packed images."""
