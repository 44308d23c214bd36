"""Words of a private vocabulary, and what the field says instead."""

import re

# Pattern -> what to write. `docs/concepts.md` explains the field's words.
FORBIDDEN = {
    r"stations?": "stage",
    r"(made|making) images?|what is made|the road": "synthetic set, pipeline",
    r"committees?(?! voting)": "teacher ensemble",
    r"(un)?ask(s|ed|ing)?": "evaluate, predict, require, request",
    r"(networks?|students?|teachers?)('s?)? answers?|answers of": "logits, labels",
    r"look(s|ed|ing)? (at|for|on|like)|looks|looked": "read, evaluate, search, seem",
    r"sees|seen|saw": "train on, evaluate, read, measure",
    r"shown to (?!be\b)|best shown": "evaluated by, trained on",
    r"(tells?|told|telling)(?! apart)": "print, state, call",
    r"says|said|saying": "state, name, print, describe",
    r"judg(es?|ed|ing)": "evaluate",
    r"whoever|who (asks|looks)": "a user, a caller",
    r"dear(er|est)": "most expensive",
    r"foret(ells?|old|elling)": "correlate with",
    r"(its|their|the|of) needs|needs of": "requirements",
    r"f(ind|inds|ound) out": "detect, measure",
}
_PATTERNS = {
    re.compile(rf"\b({pattern})\b", re.IGNORECASE): remedy
    for pattern, remedy in FORBIDDEN.items()
}


def private(text):
    """Returns the private words in a text, each with its surroundings and a remedy."""
    text = " ".join(text.split())
    return [
        f"...{text[max(0, hit.start() - 40) : hit.end() + 40]}...: {remedy}"
        for pattern, remedy in _PATTERNS.items()
        for hit in pattern.finditer(text)
    ]
