"""Files of examples, read row by row in bounded memory, whatever stands in them.

A reader yields ``Row`` for what can be used and ``Refused`` for what cannot, with the line; it raises ``FileRefused``
where nothing of the file can be used. Reading a file again gives the same again: that is what resuming rests on.
"""

from apps.evaluation.reading.formats import COMPRESSED, format_of, read_rows, sniff
from apps.evaluation.reading.rows import LINE_BYTES, Head, Refused, Row

__all__ = ["COMPRESSED", "LINE_BYTES", "Head", "Refused", "Row", "format_of", "read_rows", "sniff"]
