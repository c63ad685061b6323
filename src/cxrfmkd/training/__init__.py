"""The training engine: distillation, fine-tunes, features, selection."""
