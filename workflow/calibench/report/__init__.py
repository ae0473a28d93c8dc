"""The report: facts are computed here, words and structure are in templates/, one file per section."""
