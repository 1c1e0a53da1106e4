import itertools

import numpy as np
import pytest

from nets.perceptron import AND, INPUTS, NAND, OR, Perceptron, correction_bound, learn, xor

TABLES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "nand": [1, 1, 1, 0], "xor": [0, 1, 1, 0]}
GATES = {"and": AND, "or": OR, "nand": NAND, "xor": xor}
SINGLE = ["and", "or", "nand"]


@pytest.mark.parametrize("name", TABLES)
def test_gate_answers_by_its_truth_table(name):
    assert GATES[name](INPUTS).tolist() == TABLES[name]


@pytest.mark.parametrize("name", SINGLE)
def test_gate_is_the_same_with_threshold_and_with_bias(name):
    gate = GATES[name]
    assert Perceptron.with_threshold(gate.weights, gate.threshold) == gate
    assert Perceptron(gate.weights, bias=-gate.threshold) == gate


def test_gate_answers_one_example_and_any_batch_of_them(generator):
    x = generator.integers(0, 2, (3, 4, 2))
    assert AND([1, 1]) == 1
    np.testing.assert_array_equal(AND(x), x.all(axis=-1))
    np.testing.assert_array_equal(xor(x), x.sum(axis=-1) == 1)


def test_perceptron_requires_as_many_inputs_as_weights():
    with pytest.raises(ValueError, match=r"got inputs of shape \(4, 3\), expected \(\.\.\., 2"):
        AND(np.zeros((4, 3)))


@pytest.mark.parametrize("name", SINGLE)
def test_rule_learns_what_one_perceptron_can(name):
    lesson = learn(INPUTS, TABLES[name])
    assert lesson.learned
    assert lesson.perceptron(INPUTS).tolist() == TABLES[name]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("name", SINGLE)
def test_rule_keeps_novikoffs_bound_in_any_order(name, order):
    labels = np.array(TABLES[name])
    bound = correction_bound(INPUTS, labels, GATES[name])
    assert learn(INPUTS[list(order)], labels[list(order)]).corrections <= bound


def test_rule_makes_the_corrections_worked_by_hand():
    # AND; weights (w1, w2, b) change at a wrong answer only, the answer being 1 if the sum is > 0.
    assert learn(INPUTS, TABLES["and"]).path.tolist() == [
        [0, 0, 0],
        [1, 1, 1],  # (1, 1) was answered 0
        [1, 1, 0],  # (0, 0) was answered 1
        [0, 1, -1],  # (1, 0) was answered 1
        [1, 2, 0],  # (1, 1) was answered 0
        [0, 2, -1],  # (1, 0) was answered 1
        [0, 1, -2],  # (0, 1) was answered 1
        [1, 2, -1],  # (1, 1) was answered 0
        [1, 1, -2],  # (0, 1) was answered 1
        [2, 2, -1],  # (1, 1) was answered 0
        [1, 2, -2],  # (1, 0) was answered 1
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_rule_cycles_forever_on_xor(order):
    x, labels = INPUTS[list(order)], np.array(TABLES["xor"])[list(order)]
    lesson = learn(x, labels)
    assert not lesson.learned
    # The last epoch ended where an earlier one had: the walk through the examples repeats.
    assert lesson.path[-1].tolist() in lesson.path[:-1].tolist()


def test_xor_has_a_certificate_that_no_perceptron_separates_it():
    # If w . (x, 1) had the sign s of the label for each example, the sum of s (w . (x, 1)) would be
    # above 0 (no less than 0 where 0 counts as a no). But that sum is w . 0.
    signs = np.where(np.array(TABLES["xor"]) == 1, 1, -1)
    examples = np.column_stack([INPUTS, np.ones(4, int)])
    assert (signs @ examples).tolist() == [0, 0, 0]


def test_rule_learns_whatever_a_random_perceptron_separates(generator):
    for _ in range(20):
        teacher = Perceptron(tuple(generator.standard_normal(3)), generator.standard_normal())
        x = generator.integers(-5, 6, (30, 3))
        labels = teacher(x)
        lesson = learn(x, labels)
        assert lesson.learned
        assert lesson.corrections <= correction_bound(x, labels, teacher)


def test_rule_ends_on_examples_that_contradict_each_other():
    assert not learn([[1, 2], [1, 2]], [0, 1]).learned


def test_rule_makes_no_correction_if_every_label_is_zero():
    lesson = learn(INPUTS, [0, 0, 0, 0])
    assert (lesson.learned, lesson.epochs, lesson.corrections) == (True, 1, 0)


@pytest.mark.parametrize(
    ("x", "labels", "error", "message"),
    [
        ([[0.5, 1.0]], [1], TypeError, "the inputs must be integers, got float64"),
        (INPUTS, [0, 1], ValueError, r"got inputs \(4, 2\) and labels \(2,\), expected"),
        (INPUTS, [0, 1, 1, 2], ValueError, r"labels must be 0 or 1, got \[0, 1, 2\]"),
        (np.zeros((0, 2), int), [], ValueError, r"got inputs \(0, 2\) and labels \(0,\)"),
    ],
)
def test_rule_refuses_invalid_examples(x, labels, error, message):
    with pytest.raises(error, match=message):
        learn(x, labels)


def test_bound_requires_a_perceptron_that_separates():
    with pytest.raises(
        ValueError, match="does not separate the examples: example 1 has the margin"
    ):
        correction_bound(INPUTS, TABLES["xor"], AND)
