"""Sets of scorers by name, to start from. Whoever starts a run may take one as it is, or choose their own."""
