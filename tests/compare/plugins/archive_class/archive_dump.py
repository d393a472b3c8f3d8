import os

from biothings import config
from biothings.hub.dataload.dumper import DumperException, HTTPDumper
from biothings.utils.common import unzipall


class ArchiveDumper(HTTPDumper):
    SRC_NAME = "archive_class"
    SRC_ROOT_FOLDER = os.path.join(config.DATA_ARCHIVE_ROOT, SRC_NAME)
    INDEX = "http://data.invalid/archive/index.txt"
    MAX_PARALLEL_DUMP = 1

    def get_newest(self):
        answer = self.client.get(self.INDEX)
        if answer.status_code != 200:
            raise DumperException(f"no index: {answer.status_code}")
        return sorted(answer.text.split())[-1]

    def create_todump_list(self, force=False, **kwargs):
        self.release = self.get_newest()
        recorded = (self.src_doc or {}).get("download", {}).get("release")
        if force or recorded != self.release:
            remote = f"http://data.invalid/archive/{self.release}.zip"
            self.to_dump.append({"remote": remote, "local": os.path.join(self.new_data_folder, "archive.zip")})

    def post_dump(self, *args, **kwargs):
        unzipall(self.new_data_folder)
