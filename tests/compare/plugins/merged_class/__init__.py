from .merged_dump import MergedDumper
from .merged_upload import IgnoredUploader, MergedUploader
