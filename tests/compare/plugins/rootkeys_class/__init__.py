from .dump import RootKeysDumper
from .upload import RootKeysUploader
