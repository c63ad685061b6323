"""Image networks, their weights, devices, batches and inference."""
