"""Estimators in skops' format: equal predictions, equal bytes, and our own rule for types."""

import io
import json
import zipfile

import numpy as np
import pytest
from library_models import X, Y, needs
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from studies.objective.estimators import ModelRefused, dumped, loaded

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Own(BaseEstimator):
    def fit(self, x, y):
        return self


def times_two(x):
    return x * 2


KINDS = [
    SVC(probability=False),
    make_pipeline(StandardScaler(), SelectKBest(k=3), SGDClassifier(random_state=0)),
    RandomForestClassifier(5, random_state=0),
    GradientBoostingRegressor(n_estimators=5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5),
    MLPClassifier((4,), max_iter=5, random_state=0),
    KNeighborsClassifier(),
    GaussianProcessRegressor(),
    GridSearchCV(SVC(), {"C": [0.1, 1.0]}, cv=2),
    StackingClassifier([("a", SVC())], cv=2),
    make_pipeline(FunctionTransformer(np.abs), OneHotEncoder(handle_unknown="ignore"), SVC()),
]


@pytest.mark.parametrize("estimator", KINDS, ids=lambda estimator: type(estimator).__name__)
def test_an_estimator_predicts_the_same_after_it_was_loaded(estimator):
    estimator.fit(X, Y)
    content = dumped(estimator)
    again = loaded(content)
    np.testing.assert_array_equal(again.predict(X), estimator.predict(X))
    assert type(again) is type(estimator)


# The last one has a sparse matrix, whose indices SciPy narrows when it loads them.
@pytest.mark.parametrize("estimator", KINDS[:-1], ids=lambda estimator: type(estimator).__name__)
def test_a_loaded_estimator_has_the_bytes_of_the_original(estimator):
    content = dumped(estimator.fit(X, Y))
    assert dumped(loaded(content)) == content


def test_the_gaps_in_the_nodes_of_trees_have_no_influence():
    first = dumped(RandomForestClassifier(20, random_state=0).fit(X, Y))
    for size in range(5):
        np.full(10_000 * 10**size % 999_983, 255, np.uint8)  # what freed memory contains
        assert dumped(RandomForestClassifier(20, random_state=0).fit(X, Y)) == first


def test_what_estimators_share_stays_shared():
    shared = np.arange(3.0)
    content = dumped(FunctionTransformer(kw_args={"a": shared, "b": shared, "c": shared.copy()}))
    found = loaded(content).kw_args
    assert found["a"] is found["b"]
    assert found["c"] is not found["a"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["0.npy", "schema.json"]


def test_keys_called_like_those_of_skops_are_kept():
    arguments = {"__id__": 5, "file": "a.npy", "__loader__": "x", "set": {"b", "a"}}
    assert loaded(dumped(FunctionTransformer(kw_args=arguments))).kw_args == arguments


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (FunctionTransformer(lambda x: x), "test_estimators.<lambda>"),
        (FunctionTransformer(times_two), "test_estimators.times_two"),
        (Own(), "test_estimators.Own"),
        (make_pipeline(StandardScaler(), Own()), "test_estimators.Own"),
    ],
    ids=["lambda", "function", "class", "step"],
)
def test_functions_and_classes_of_others_are_refused(estimator, named):
    with pytest.raises(ModelRefused) as caught:
        dumped(estimator)
    assert str(caught.value).startswith(f"got a {type(estimator).__name__} with ")
    assert str(caught.value).endswith(
        f"{named}, expected only classes of scikit-learn, LightGBM and XGBoost, and functions of "
        "NumPy and SciPy (of a search, save best_estimator_)"
    )


def test_a_search_with_distributions_is_refused_because_they_run_source_text():
    from scipy.stats import loguniform

    search = RandomizedSearchCV(SVC(), {"C": loguniform(0.1, 1)}, n_iter=2, cv=2, random_state=0)
    search.fit(X, Y)
    with pytest.raises(ModelRefused, match=r"with scipy\.stats\..*save best_estimator_"):
        dumped(search)
    assert loaded(dumped(search.best_estimator_)).C == search.best_estimator_.C


def test_what_skops_cannot_store_is_refused_with_its_reason():
    from sklearn.cluster import Birch

    with pytest.raises(ModelRefused, match=r"^got a Birch, which skops cannot store: Objects of "):
        dumped(Birch().fit(X))


def test_a_pipeline_may_end_with_a_model_of_lightgbm():
    needs("lightgbm")
    import lightgbm

    classifier = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=5, verbose=-1, n_jobs=1)
    pipeline = make_pipeline(StandardScaler(), classifier).fit(X, Y)
    again = loaded(dumped(pipeline))
    np.testing.assert_array_equal(again.predict(X), pipeline.predict(X))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("sklearn.datasets._base", "load_files"),
        ("sklearn.externals._packaging.version", "Version"),
        ("sklearn.utils._testing", "TempMemmap"),
        ("sklearn.utils.validation", "warnings"),  # imported there
        ("sklearn.pipeline", "Parallel"),  # from sklearn.utils
        ("sklearn.model_selection._validation", "cross_val_score"),  # a function
        ("sklearn.no", "Such"),
        ("scipy.stats._continuous_distns", "norm_gen"),
    ],
)
@pytest.mark.parametrize("loader", ["ConstructorFromReduceNode", "FunctionNode", "ObjectNode"])
def test_a_crafted_file_is_not_loaded(module, name, loader):
    content = {"content": [], "__loader__": "TupleNode", "__class__": "tuple",
               "__module__": "builtins"}  # fmt: skip
    crafted = crafted_file({"__class__": name, "__module__": module, "__loader__": loader,
                            "content": content})  # fmt: skip
    with pytest.raises(ModelRefused, match=f"^the model contains {module}.{name}, which could do"):
        loaded(crafted)


def test_a_compressed_file_is_not_loaded():
    with zipfile.ZipFile(io.BytesIO(dumped(SVC()))) as old:
        schema = old.read("schema.json")
    with pytest.raises(ValueError, match=r"a damaged file of skops \(it is compressed\)"):
        loaded(crafted_file(json.loads(schema), zipfile.ZIP_DEFLATED))


def crafted_file(schema, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2, **schema}))
    return buffer.getvalue()
