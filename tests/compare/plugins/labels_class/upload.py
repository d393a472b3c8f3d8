from biothings.hub.dataload.uploader import BaseSourceUploader

from .parser import load_labels


class LabelsUploader(BaseSourceUploader):
    name = "labels_class"
    __metadata__ = {"src_meta": {"url": "https://labels.example.org", "license": "ODbL"}}

    def load_data(self, data_folder):
        self.logger.info("Load data from folder '%s'", data_folder)
        return load_labels(data_folder)

    @classmethod
    def get_mapping(cls):
        return {"label": {"type": "text"}, "score": {"type": "integer"}}
