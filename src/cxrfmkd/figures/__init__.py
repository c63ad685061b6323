"""The study's figures: what each shows, and how it looks."""
