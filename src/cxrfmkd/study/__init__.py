"""The plan: configuration, runs, and what each rule needs."""
