"""The state of objects that train: back into them, for every kind of object."""

import numpy as np
import pytest

from nets.state import pack, unpack
from studies.objective.states import plain, restore, restored, state_of


def through(objects):
    """The states of objects after a checkpoint."""
    return unpack(pack({"states": state_of(objects)}))["states"]


def test_generators_lists_and_dicts_continue_where_they_were():
    generator, values, table = np.random.default_rng(1), [1, (2, np.float32(0.1))], {3: {"a": b"b"}}
    generator.normal(size=3)
    states = through([generator, values, table])
    expected = generator.normal(size=5)
    other = np.random.default_rng(2)
    some, more = [], {"x": 1}
    restore([other, some, more], states)
    assert np.array_equal(other.normal(size=5), expected)
    assert (some, more) == (values, table)
    assert type(some[1][1]) is np.float32


def test_an_estimator_continues_where_it_was():
    pytest.importorskip("skops", reason="pip install 'retrial-studies[sklearn]'")
    from sklearn.linear_model import SGDClassifier

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    model = SGDClassifier(random_state=0).partial_fit(X, y, classes=range(3))
    states = through([model])
    model.partial_fit(X, y)
    other = SGDClassifier(alpha=0.5)
    restore([other], states)
    other.partial_fit(X, y)
    assert np.array_equal(model.coef_, other.coef_)
    assert other.get_params() == model.get_params()


def test_an_estimator_with_code_of_the_users_is_refused():
    pytest.importorskip("skops", reason="pip install 'retrial-studies[sklearn]'")
    from sklearn.preprocessing import FunctionTransformer

    with pytest.raises(
        TypeError, match=r"studies\.objective\.states\.plain, expected only classes"
    ):
        state_of([FunctionTransformer(plain)])


def test_tensors_of_every_type_survive():
    torch = pytest.importorskip("torch", reason="pip install 'retrial-studies[torch]'")
    values = {
        0: [torch.arange(6).reshape(2, 3), torch.tensor(1.5, dtype=torch.bfloat16)],
        "flags": (torch.tensor([True, False]), torch.zeros(0, 3)),
    }
    found = restored(unpack(pack(plain({"values": values})))["values"])
    for one, two in zip([*values[0], *values["flags"]], [*found[0], *found["flags"]], strict=True):
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert torch.equal(one, two)


def test_a_network_and_its_optimizer_continue_where_they_were():
    torch = pytest.importorskip("torch", reason="pip install 'retrial-studies[torch]'")

    def made():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        return net, torch.optim.Adam(net.parameters(), 0.01)

    def step(net, optimizer, x):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()

    net, optimizer = made()
    x = torch.randn(5, 4)
    step(net, optimizer, x)
    states = through([net, optimizer])
    step(net, optimizer, x)
    other = made()
    restore(other, states)
    step(*other, x)
    for one, two in zip(net.parameters(), other[0].parameters(), strict=True):
        assert torch.equal(one, two)
