"""Performance against bias."""
