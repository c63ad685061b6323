"""What all tests share: property tests draw the same examples everywhere and have no deadline."""

from hypothesis import settings

settings.register_profile("study", deadline=None, derandomize=True)
settings.load_profile("study")
