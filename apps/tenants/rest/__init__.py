"""What every wing's part of the management API (/api/) shares: who calls, how input is read, how answers look.

A wing's ``api`` parses, calls one service or selector, and renders; its ``serializers`` give the shape of input and
output. See docs/api.md for the API's users, ``views.py`` for its writers.
"""
