import os

from biothings import config
from biothings.hub.dataload.dumper import LastModifiedHTTPDumper


class RootKeysDumper(LastModifiedHTTPDumper):
    SRC_NAME = "rootkeys_class"
    SRC_ROOT_FOLDER = os.path.join(config.DATA_ARCHIVE_ROOT, SRC_NAME)
    SRC_URLS = ["http://data.invalid/rootkeys.jsonl"]
