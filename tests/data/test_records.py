from __future__ import annotations

import pytest

from spikeworks.core.errors import DataError
from spikeworks.data.records import read_records


def test_a_bad_record_is_reported_with_the_state_of_the_others():
    tried = []

    def read(name):
        tried.append(name)
        if name in "bd":
            raise DataError(f"{name} is bad.", "mend it")
        return name.upper()

    records = read_records("abcde", read, "letter")
    assert next(records) == "A"
    with pytest.raises(DataError) as caught:
        next(records)
    assert str(caught.value) == (
        "2 of 5 letters cannot be used, the other 3 are fine. The first: b is bad.\n  Hint: mend it"
    )
    assert "".join(tried) == "abcde"


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError):
        list(read_records([0], lambda n: 1 / n, "number"))
