"""The label of an HPO release."""

from typing import Any


def hpo_release(self: "Any") -> str:
    """The date in the header of phenotype.hpoa, which is published beside the data: they have none themselves."""
    import re
    from urllib.parse import urljoin
    from urllib.request import urlopen

    url = urljoin(self.SRC_URLS[0], "phenotype.hpoa")
    with urlopen(url) as stream:
        header = stream.read(4096).decode("utf-8", "replace")
    found = re.search(r"^#version: ([0-9]{4}-[0-9]{2}-[0-9]{2})", header, re.MULTILINE)
    if not found:
        raise ValueError(f"no #version in the header of {url}")
    return found.group(1)
