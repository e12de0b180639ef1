"""What a reader sees of a page."""

import html
import re


def text_of(page: str) -> str:
    """Its words on one line, without tags: terms are links to the glossary."""
    words = html.unescape(re.sub("<[^>]*>", "", page)).replace("\N{NO-BREAK SPACE}", " ")
    return " ".join(words.split())
