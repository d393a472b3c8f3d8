import os
import re
from collections import defaultdict

QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(\w*)')


def load_obo(data_folder):
    children = defaultdict(list)
    terms = list(read_terms(os.path.join(data_folder, "terms.obo")))
    for term in terms:
        for parent in term.get("parents", []):
            children[parent].append(term["_id"])
    for term in terms:
        if children[term["_id"]]:
            term["children"] = children[term["_id"]]
        yield term


def read_terms(path):
    term = None
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("["):
                if term and not term.pop("obsolete", False):
                    yield term
                term = {} if line == "[Term]" else None
            elif term is not None and ": " in line:
                add(term, *line.split(": ", 1))
    if term and not term.pop("obsolete", False):
        yield term


def add(term, tag, value):
    value = value.split(" ! ")[0].strip() if tag != "def" else value
    if tag == "id":
        term["_id"] = value
    elif tag == "name":
        term["label"] = value
    elif tag == "def":
        term["definition"] = QUOTED.match(value).group(1).replace('\\"', '"')
    elif tag == "is_a":
        term.setdefault("parents", []).append(value)
    elif tag == "xref":
        prefix, _, local = value.partition(":")
        term.setdefault("xrefs", {}).setdefault(prefix.lower(), []).append(local)
    elif tag == "synonym":
        text, scope = QUOTED.match(value).groups()
        term.setdefault("synonym", []).append({"text": text, "scope": scope})
    elif tag == "is_obsolete":
        term["obsolete"] = value == "true"
