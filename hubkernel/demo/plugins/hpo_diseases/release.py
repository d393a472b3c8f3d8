"""The label of an HPO release."""

from typing import Any


def hpo_release(self: "Any") -> str:
    """The date in the header of phenotype.hpoa."""
    import re
    from urllib.request import urlopen

    url = self.SRC_URLS[0]
    with urlopen(url) as stream:
        header = stream.read(4096).decode("utf-8", "replace")
    found = re.search(r"^#version: ([0-9]{4}-[0-9]{2}-[0-9]{2})", header, re.MULTILINE)
    if not found:
        raise ValueError(f"no #version in the header of {url}")
    return found.group(1)
