"""Several runs of one recipe: one per fold, or one per seed."""
