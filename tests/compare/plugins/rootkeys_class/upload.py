import json
import os

from biothings.hub.dataload.storage import CheckSizeStorage, RootKeyMergerStorage
from biothings.hub.dataload.uploader import BaseSourceUploader


class RootKeysUploader(BaseSourceUploader):
    name = "rootkeys_class"
    storage_class = (RootKeyMergerStorage, CheckSizeStorage)

    def load_data(self, data_folder):
        with open(os.path.join(data_folder, "rootkeys.jsonl"), encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)
