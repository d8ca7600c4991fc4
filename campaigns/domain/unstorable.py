"""The characters that no database's text keeps. Pure."""

import re

UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
"""NUL, and halves of surrogate pairs: a JSON escape can name them, PostgreSQL's text takes neither."""
