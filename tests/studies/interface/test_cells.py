"""Which statements of a notebook's cells a function depends on."""

import pytest

from studies.interface.cells import sliced, statements, texts_of, until


def slice_of(*cells, opaque=()):
    return sliced(list(statements(cells, opaque.__contains__)), "f")


def needed(*cells, opaque=()):
    return list(slice_of(*cells, opaque=opaque).texts)


def test_only_what_the_function_uses_is_needed_in_the_order_in_which_it_ran():
    cells = [
        "import numpy as np\nimport os",
        "a = np.ones(2)\nb = 3",
        "def f(x):\n    return a * x",
    ]
    assert needed(*cells) == ["import numpy as np", "a = np.ones(2)", "def f(x):\n    return a * x"]


def test_a_function_uses_what_later_cells_define():
    assert needed("def f(): return g()", "def g(): return n", "n = 1") == [
        "def f(): return g()", "def g(): return n", "n = 1",
    ]  # fmt: skip


def test_the_last_value_counts_and_changes_of_it_do_too():
    cells = ["a = [2]", "a = a + [3]", "a += [4]", "a[0] = 5", "def f(): return a"]
    assert needed("a = 1", *cells) == cells


def test_a_statement_reads_what_a_name_was_when_it_ran():
    assert needed("n = 1", "a = make(n)", "n = 2", "def f(): return a", "def make(n): ...")[:2] == [
        "n = 1", "a = make(n)",
    ]  # fmt: skip
    found = sliced(
        list(statements(["n = 1\na = [n]\nn = 2\ndef f(): return a"], ().__contains__)), "f"
    )
    assert (found.names, found.unknown) == ({"f", "a"}, set())


@pytest.mark.parametrize(
    "change",
    [
        "a.append(1)", "del a[0]", "a.b.c = 1", "for i in range(3):\n    a.append(i)",
        "if a:\n    a = 2", "with open(p) as file:\n    a.extend(file)", "(a := 2)",
        "try:\n    a = 2\nexcept OSError:\n    pass",
    ],
)  # fmt: skip
def test_a_statement_that_may_change_a_value_is_needed(change):
    assert needed("a = []", change, "def f(): return a") == ["a = []", change, "def f(): return a"]


def test_calls_may_change_objects_that_cannot_be_compared():
    cells = ["s = Scaler()", "x = s.fit(1)", "train(s, 2)", "s(3)", "print(4)", "def f(): return s"]
    assert needed(*cells, opaque={"s"}) == [*cells[:4], cells[-1]]
    assert needed(*cells) == ["s = Scaler()", "def f(): return s"]


def test_global_state_of_a_module_is_needed():
    cells = [
        "import numpy as np",
        "np.random.seed(0)",
        "a = np.random.normal()",
        "def f(): return a",
    ]
    assert needed(*cells) == cells


def test_local_names_and_parameters_are_not_the_notebook_s():
    cells = [
        "for c in (1, 2):\n    print(f(c))",
        "def f(c, d=e):\n    x = c\n    return [x for x in c]",
    ]
    assert needed(*cells, "x = 1", "e = 2") == [cells[1]]
    assert needed("e = 2", *cells) == ["e = 2", cells[1]]


def test_decorators_bases_and_annotations_are_needed():
    cells = [
        "from functools import cache", "class Base: n = k", "k = 1", "class A(Base):\n    pass",
        "@cache\ndef f(x: A):\n    return x",
    ]  # fmt: skip
    assert needed("k = 1", *cells) == ["k = 1", *cells[:2], *cells[3:]]  # fmt: skip


def test_magics_are_left_out_and_their_python_is_read():
    cells = [
        "get_ipython().run_line_magic('matplotlib', 'inline')\na = 1",
        "get_ipython().run_cell_magic('time', '', 'b = 2\\n')",
        "get_ipython().run_cell_magic('bash', '', 'b = 3\\n')",
        "not python", "def f(): return a + b",
    ]  # fmt: skip
    assert needed(*cells) == ["a = 1", "b = 2", "def f(): return a + b"]


def test_an_import_is_needed_once_and_futures_come_first():
    future, last = "from __future__ import annotations", "def f(): return a, x"
    cells = ["import a.b", "x = a.b", future, "import a.c", "import a.b", last]
    assert needed(*cells) == [future, "import a.b", "x = a.b", "import a.c", last]


def test_names_that_no_statement_defines_are_unknown():
    found = slice_of("a = get_ipython()", "def f(): return a + _3")
    assert found.unknown == {"_3", "get_ipython"}


def test_a_star_import_defines_the_names_of_its_module():
    assert needed("from math import *", "def f(): return sqrt(2)")[0] == "from math import *"


def test_the_running_statement_and_those_below_it_have_not_run():
    assert until("a = 1\nb = (\n  2)\nc = 3", [3]) == "a = 1"
    assert until("@cache\ndef f():\n    pass\ng()", [4]) == "@cache\ndef f():\n    pass"
    magic = "get_ipython().run_cell_magic('time', '', 'a = 1\\nb = 2\\nc = 3')"
    assert until(magic, [1, 2]) == "a = 1"
    assert until(magic, [1]) == ""


def test_sources_keep_decorators_and_statements_of_one_line_are_separate():
    assert texts_of("a = 1; b = 2\n\n@cache\n# why\ndef f():\n    pass") == [
        "a = 1", "b = 2", "@cache\n# why\ndef f():\n    pass",
    ]  # fmt: skip
