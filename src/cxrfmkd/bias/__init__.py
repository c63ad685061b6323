"""What embeddings reveal about sex, race and age: the thesis's score, effect sizes and nulls."""
