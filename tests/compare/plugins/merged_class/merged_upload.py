import os

from biothings.hub.dataload.storage import CheckSizeStorage, IgnoreDuplicatedStorage
from biothings.hub.dataload.uploader import BaseSourceUploader, MergerSourceUploader
from biothings.utils.dataload import tabfile_feeder


def rows(data_folder):
    for key, name, tag, size in tabfile_feeder(os.path.join(data_folder, "merged.tsv"), header=1):
        yield {"_id": key, "name": name, "tags": [tag], "size": {"value": int(size), "unit": "kb"}}


class MergedUploader(MergerSourceUploader):
    main_source = "merged_class"
    name = "merged_docs"

    def load_data(self, data_folder):
        return rows(data_folder)


class IgnoredUploader(BaseSourceUploader):
    main_source = "merged_class"
    name = "first_docs"
    storage_class = (IgnoreDuplicatedStorage, CheckSizeStorage)

    def load_data(self, data_folder):
        for number, doc in enumerate(rows(data_folder)):
            yield {"_id": doc["_id"], "row": number}
