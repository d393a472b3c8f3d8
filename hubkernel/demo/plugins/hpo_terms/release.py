"""The label of an HPO release."""

from typing import Any


def hpo_release(self: "Any") -> str:
    """The date in the header of hp.obo, as in ``data-version: hp/releases/2025-01-16``."""
    import re
    from urllib.request import urlopen

    with urlopen(self.SRC_URLS[0]) as stream:
        header = stream.read(4096).decode("utf-8", "replace")
    found = re.search(r"^data-version: .*?([0-9]{4}-[0-9]{2}-[0-9]{2})", header, re.MULTILINE)
    if not found:
        raise ValueError(f"no data-version in the header of {self.SRC_URLS[0]}")
    return found.group(1)
