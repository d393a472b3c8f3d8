import os

import biothings, config

biothings.config_for_app(config)

from config import DATA_ARCHIVE_ROOT

from biothings.hub.dataload.dumper import LastModifiedHTTPDumper
from biothings.utils.common import uncompressall


class LabelsDumper(LastModifiedHTTPDumper):
    SRC_NAME = "labels_class"
    SRC_ROOT_FOLDER = os.path.join(DATA_ARCHIVE_ROOT, "labels_class")
    SRC_URLS = ["http://data.invalid/labels.txt.gz", "http://data.invalid/synonyms.tsv"]
    SCHEDULE = "0 9 * * *"
    to_check = [("synonyms.tsv", 10)]

    def post_dump(self, *args, **kwargs):
        uncompressall(self.new_data_folder)
        super().post_dump(*args, **kwargs)
