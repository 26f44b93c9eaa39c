"""Counters: one atomic step over every limit and budget that covers a request. Memory or Redis, one contract."""
