"""The mutants of a small function, each with what it then does."""

import time

from benchmarks.mutants import forked, mutants

SOURCE = '''
def shortened(values, most=3):
    """Return the first values."""
    if not values or len(values) <= most:
        return list(values)
    kept = values[:most]
    kept.sort(reverse=True)
    return kept
'''


def test_each_mutant_changes_one_thing_and_the_function_does_what_it_says() -> None:
    space: dict = {}
    exec(compile(SOURCE, "shortened.py", "exec"), space)
    function, found = space["shortened"], {}
    for lines, change, changed in mutants(SOURCE, "shortened.py"):
        ((mutated, code),) = changed
        assert mutated is function and int(change.split(":")[0]) in lines
        before, function.__code__ = function.__code__, code
        try:
            found[change] = [function(values) for values in ([], [1, 2, 3], [1, 4, 2, 3])]
        except TypeError:
            found[change] = "refused"
        function.__code__ = before
    whole = [[], [1, 2, 3], [4, 2, 1]]
    assert [function(values) for values in ([], [1, 2, 3], [1, 4, 2, 3])] == whole
    assert found == {
        "4: Or -> And": [[], [3, 2, 1], [4, 2, 1]],
        "4: no term 0": whole,
        "4: no term 1": [[], [3, 2, 1], [4, 2, 1]],
        "4: no Not": [[], [1, 2, 3], [1, 4, 2, 3]],
        "4: LtE -> Lt": [[], [3, 2, 1], [4, 2, 1]],
        "4: LtE -> Gt": [[], [3, 2, 1], [1, 4, 2, 3]],
        "4: condition negated": [[], [3, 2, 1], [1, 4, 2, 3]],
        "5: return None": [None, None, [4, 2, 1]],
        "7: no Expr": [[], [1, 2, 3], [1, 4, 2]],
        "7: no reverse=": [[], [1, 2, 3], [1, 2, 4]],
        "7: True -> False": [[], [1, 2, 3], [1, 2, 4]],
        "8: return None": [[], [1, 2, 3], None],
    }


def test_what_dies_in_a_fork_or_does_not_end_has_no_answer() -> None:
    assert forked(lambda: [1, "two"], 9) == [1, "two"]
    assert forked(lambda: 1 / 0, 9) is None
    assert forked(lambda: time.sleep(9), 1) is None
