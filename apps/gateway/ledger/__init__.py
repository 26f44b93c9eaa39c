"""The ledger: a write-ahead spool beside the gateway, and the drainer that moves it into the database exactly once."""
