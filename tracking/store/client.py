"""What MLflow's client leaves to its caller.

All pages of a search, files by their content, and all files at an artifact location.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tracking.store import names
from tracking.store.database import is_inside
from tracking.store.errors import StoreUnavailable
from tracking.store.plain_values import json_text
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.entities import PagedList

_Entity = TypeVar("_Entity")


def all_pages(search: "Callable[..., PagedList[_Entity]]", **query: Any) -> Iterator[_Entity]:
    """Yield the entities of every page of a search.

    `search` is a ``search_...`` method of the client, `query` are its arguments. A page is
    requested when the first of its entities is needed.
    """
    token = None
    while True:
        page = search(**query, page_token=token)
        yield from page
        if not (token := page.token):
            return


def all_runs(client: "MlflowClient", experiment_id: str, *, deleted: bool = False) -> "list[Run]":
    """Return the runs of an experiment, oldest first; with `deleted`, the deleted ones too."""
    from mlflow.entities import ViewType

    return list(
        all_pages(
            client.search_runs,
            experiment_ids=[experiment_id],
            run_view_type=ViewType.ALL if deleted else ViewType.ACTIVE_ONLY,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )
    )


def all_models(client: "MlflowClient", experiment_id: str) -> "list[LoggedModel]":
    """Return the logged models of an experiment, oldest first."""
    models = all_pages(client.search_logged_models, experiment_ids=[experiment_id])
    return sorted(models, key=lambda model: (model.creation_timestamp, model.model_id))


def models_of(client: "MlflowClient", run: "Run") -> "list[LoggedModel]":
    """Return the logged models that are outputs of a run."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return [client.get_logged_model(output.model_id) for output in outputs]


def versions_of(client: "MlflowClient", run_ids: Iterable[str]) -> "list[ModelVersion]":
    """Return the registered versions of the models of some runs, oldest first."""
    wanted = set(run_ids)
    found = [v for v in all_pages(client.search_model_versions) if v.run_id in wanted]
    return sorted(found, key=lambda version: (version.name, int(version.version)))


@dataclass(frozen=True)
class Files:
    """The files of one run or model: in a local folder, or in a remote repository."""

    local: Path | None = None
    remote: "ArtifactRepository | None" = None

    def sizes(self) -> list[int]:
        """Return the size of every file in bytes."""
        if self.local is not None:
            return [path.stat().st_size for path in self.local.rglob("*") if path.is_file()]
        sizes: list[int] = []
        folders: list[str | None] = [None]
        while folders and self.remote is not None:
            for found in self.remote.list_artifacts(folders.pop()):
                if found.is_dir:
                    folders.append(found.path)
                else:
                    sizes.append(int(found.file_size or 0))
        return sizes

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        if self.local is not None:
            return (self.local / name).is_file()
        assert self.remote is not None
        found = self.remote.list_artifacts(name.rpartition("/")[0] or None)
        return name in {file.path for file in found}

    def read(self, name: str) -> bytes:
        """Return the content of one file; raises OSError, or what MLflow raises, without it."""
        if self.local is not None:
            return (self.local / name).read_bytes()
        assert self.remote is not None
        with tempfile.TemporaryDirectory() as folder:
            path = self.remote.download_artifacts(name, folder)  # type: ignore[no-untyped-call]
            return Path(path).read_bytes()

    def fetch(self, folder: Path) -> Path:
        """Return the local folder, or `folder` after downloading the files into it."""
        if self.local is not None:
            return self.local
        if self.remote is not None and self.remote.list_artifacts(None):
            self.remote.download_artifacts("", str(folder))  # type: ignore[no-untyped-call]
        return folder

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """Return a folder as a context: what is in it at the end is among these files.

        A local folder is written in place, so that no byte is written twice.
        """
        if self.local is not None:
            self.local.mkdir(parents=True, exist_ok=True)
            yield self.local
            return
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            if self.remote is not None:
                self.remote.log_artifacts(folder)  # type: ignore[no-untyped-call]

    def write(self, files: Mapping[str, Any]) -> None:
        """Write files: bytes and strings unchanged, everything else as JSON.

        A name may contain folders.
        """
        with self.folder() as folder:
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if not isinstance(content, bytes):
                    text = names.plain(content) if isinstance(content, str) else json_text(content)
                    content = text.encode()
                path.write_bytes(content)

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
    """Return the files at the artifact location of one run or model.

    Raises StoreUnavailable for a folder of this machine that is not one which MLflow creates for a
    run or model, or, with a store's own database, is outside of the store. What a database or a
    server says would otherwise decide which folder is written and removed.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    if store.is_own and not is_inside(location, store.root / names.ARTIFACTS):
        raise StoreUnavailable("store", problem=f"{location} is outside of {store.root}")
    found = get_artifact_repository(location, tracking_uri=store.uri)
    if not isinstance(found, LocalArtifactRepository):
        return Files(remote=found)
    folder = Path(found.artifact_dir)
    if not _OF_ONE.fullmatch("/".join(folder.parts[-2:])):
        problem = f"{location} is not the folder of a run or model"
        raise StoreUnavailable("store", problem=problem, expected="a folder .../ID/artifacts")
    return Files(local=folder)


_OF_ONE = re.compile("(m-)?[0-9a-f]{32}/artifacts")
"""The end of the path of a run's or model's files."""


def files_of(store: Store, run: "Run") -> Files:
    """Return the artifacts of a run.

    Of MLflow's client, each file would be three more requests for the run.
    """
    return files_at(store, run.info.artifact_uri)
