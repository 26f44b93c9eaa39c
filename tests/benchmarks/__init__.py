"""Benchmarks: what Lobby costs, measured beside its peers. Run by ``make bench``; never a timed test."""
