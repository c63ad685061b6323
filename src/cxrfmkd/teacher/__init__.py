"""The teacher's embeddings: where they come from, how they are checked, and how new ones are made."""
