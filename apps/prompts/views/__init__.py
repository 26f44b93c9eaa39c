"""The catalog's pages, one module a topic."""
