from .archive_dump import ArchiveDumper
from .archive_upload import ArchiveUploader
