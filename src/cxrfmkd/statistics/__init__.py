"""Statistics on arrays: no word of the study in it."""
