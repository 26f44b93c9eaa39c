"""Provider adapters: sans-I/O. They shape requests and read answers; the gateway's client does the talking."""
