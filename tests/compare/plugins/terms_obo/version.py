def get_release(self):
    import re

    answer = self.client.get(self.__class__.SRC_URLS[0])
    answer.raise_for_status()
    return re.search(r"^data-version: (\S+)", answer.text, re.MULTILINE).group(1)
