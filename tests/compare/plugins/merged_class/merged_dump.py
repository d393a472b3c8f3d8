import os
from datetime import datetime

from biothings import config
from biothings.hub.dataload.dumper import LastModifiedHTTPDumper


class MergedDumper(LastModifiedHTTPDumper):
    SRC_NAME = "merged_class"
    SRC_ROOT_FOLDER = os.path.join(config.DATA_ARCHIVE_ROOT, SRC_NAME)
    SRC_URLS = ["http://data.invalid/merged.tsv"]

    def set_release(self):
        answer = self.client.head(self.__class__.SRC_URLS[0], allow_redirects=True)
        date = datetime.strptime(answer.headers["Last-Modified"], "%a, %d %b %Y %H:%M:%S %Z")
        self.release = date.strftime("v%Y_%m")
