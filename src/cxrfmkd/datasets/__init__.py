"""From raw files to records and packed films."""
