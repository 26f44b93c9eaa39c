"""The demonstration that the embedded profile starts with: lines of business, people, keys, and two months of usage."""
