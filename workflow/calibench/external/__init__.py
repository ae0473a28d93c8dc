"""Predictions of other programs: files of any program become finished runs, and are measured like those trained here."""
