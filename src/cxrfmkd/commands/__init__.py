"""The commands of `cxrfmkd`, one module each."""
