"""The playground's pages and fragments, one module a topic."""
