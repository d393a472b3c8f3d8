from .dump import LabelsDumper
from .upload import LabelsUploader
