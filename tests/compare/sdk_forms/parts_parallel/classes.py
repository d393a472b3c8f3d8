import os

from biothings import config
from biothings.hub.dataload.dumper import LastModifiedHTTPDumper
from biothings.hub.dataload.uploader import ParallelizedSourceUploader

from .parallelizer import parts
from .parser import load_part


class PartsDumper(LastModifiedHTTPDumper):
    SRC_NAME = "parts_parallel"
    SRC_ROOT_FOLDER = os.path.join(config.DATA_ARCHIVE_ROOT, SRC_NAME)
    SRC_URLS = [f"http://data.invalid/part{number}.jsonl" for number in range(3)]


class PartsUploader(ParallelizedSourceUploader):
    name = "parts_parallel"

    def jobs(self):
        return parts(self)

    def load_data(self, path):
        return load_part(path)
