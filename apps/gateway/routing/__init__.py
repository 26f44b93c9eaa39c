"""Which endpoint answers a request, and which comes next when it fails."""
