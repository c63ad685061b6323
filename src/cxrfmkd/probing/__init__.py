"""Linear probes on kept features, and transfers that train nothing."""
