import csv
import glob
import os

from biothings.hub.dataload.uploader import ParallelizedSourceUploader
from biothings.utils.dataload import dict_sweep, int_convert, merge_duplicate_rows


class ArchiveUploader(ParallelizedSourceUploader):
    main_source = "archive_class"
    name = "archive_docs"

    def jobs(self):
        return [(path,) for path in sorted(glob.glob(os.path.join(self.data_folder, "*.csv")))]

    def load_data(self, path):
        groups = {}
        with open(path, encoding="utf-8") as source:
            for row in csv.DictReader(source):
                groups.setdefault(row.pop("id"), []).append({"archive": row})
        for key, rows in groups.items():
            doc = merge_duplicate_rows(rows, "archive")
            doc = int_convert(doc, include_keys=["archive.count"])
            doc = int_convert(doc, exclude_keys=["archive.count", "archive.site"])
            doc["_id"] = key
            yield dict_sweep(doc)
