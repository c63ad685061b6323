"""The teacher's embeddings: their sources, the checks on them, and the extraction of new ones."""
