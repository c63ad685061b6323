"""The study's results as tables for people."""
