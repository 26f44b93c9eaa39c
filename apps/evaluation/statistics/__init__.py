"""Statistics of comparisons. See docs/scorers.md."""
