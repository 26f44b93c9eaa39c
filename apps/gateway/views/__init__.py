"""The pages of the ledger: usage, requests, the speed of a model."""
