"""What the SDK's manifest cannot say in 1.2.2: the parallelizer as classes, with the same parser."""

from .classes import PartsDumper, PartsUploader
