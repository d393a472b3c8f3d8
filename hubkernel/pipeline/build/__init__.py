"""Sources merged into one collection by a recipe."""

from hubkernel.pipeline.build.errors import (
    BuildError,
    BuildExistsError,
    MappingConflictError,
    NoSuchBuildError,
    NoSuchRecipeError,
    RecipeError,
    SourceChangedError,
    SourcesNotReadyError,
)
from hubkernel.pipeline.build.manager import BuildManager

__all__ = [
    "BuildError",
    "BuildExistsError",
    "BuildManager",
    "MappingConflictError",
    "NoSuchBuildError",
    "NoSuchRecipeError",
    "RecipeError",
    "SourceChangedError",
    "SourcesNotReadyError",
]
