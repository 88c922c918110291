"""Problems and the error that lists them."""

import pickle

from seen_jax.problems import Problem, SeeError


def test_see_error_crosses_processes_with_its_problems():
    problem = Problem("p", "a", "b")
    error = pickle.loads(pickle.dumps(SeeError([problem, problem], "check")))
    assert error.problems == (problem, problem)
    assert error.command == "check"
    assert str(error).startswith("2 problems in the SEE data:\n  p: expected a, got b")
