"""The study's words: each list once."""
