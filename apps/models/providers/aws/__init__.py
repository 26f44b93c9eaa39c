"""What Amazon's services have in common: their event streams, their signatures, their errors."""
