"""Runs at work: what a worker does with an evaluation's rows, until all of its items are done.

    worker.py    the loop: claims items, keeps some calls in flight, writes what came of them in groups
    store.py     the rows: leases, results, ends; each write is short and conditional
    subjects.py  what is asked of the model for an example, and what scorers see of it
    gateway.py   the calls, over HTTP to Lobby's own gateway, as anybody's
    scoring.py   one item: its call, then its scores
    summaries.py what the scores of a run come to

Threads make the calls and the scores; only the loop's own thread touches the database.
"""
