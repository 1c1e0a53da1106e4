"""The files at an artifact location of MLflow, local or remote."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository


@dataclass(frozen=True)
class Files:
    """The files of one run or model: in a local folder, or in a remote repository."""

    local: Path | None = None
    remote: "ArtifactRepository | None" = None

    def sizes(self) -> dict[str, int]:
        """Return the size of every file in bytes, by its path."""
        if self.local is not None:
            return {
                path.relative_to(self.local).as_posix(): path.stat().st_size
                for path in sorted(self.local.rglob("*"))
                if path.is_file()
            }
        sizes: dict[str, int] = {}
        folders: list[str | None] = [None]
        while folders and self.remote is not None:
            for found in self.remote.list_artifacts(folders.pop()):
                if found.is_dir:
                    folders.append(found.path)
                else:
                    sizes[found.path] = int(found.file_size or 0)
        return sizes

    def fetch(self, folder: Path) -> Path:
        """Return the local folder, or `folder` after downloading the files into it."""
        if self.local is not None:
            return self.local
        if self.remote is not None and self.remote.list_artifacts(None):
            self.remote.download_artifacts("", str(folder))  # type: ignore[no-untyped-call]
        return folder

    def remove(self) -> None:
        """Remove all files and their folder."""
        if self.remote is not None:
            self.remote.delete_artifacts()  # type: ignore[no-untyped-call]
        if self.local is None:
            return
        shutil.rmtree(self.local, ignore_errors=True)
        above = self.local.parent
        # MLflow creates one folder per id, and a folder of this name in it.
        if self.local.name == "artifacts" and above.is_dir() and not any(above.iterdir()):
            above.rmdir()


def files_at(store: Store, location: str) -> Files:
    """Return the files at one of MLflow's artifact locations."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    found = get_artifact_repository(location, tracking_uri=store.uri)
    if isinstance(found, LocalArtifactRepository):
        return Files(local=Path(found.artifact_dir))
    return Files(remote=found)
