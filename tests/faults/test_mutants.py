"""Each mutant is documented, and the test that owns it exists."""

import pytest

from tests.faults.mutants import Mutant, mutants
from tests.system.running import ROOT

DOCUMENT = (ROOT / "docs" / "reliability-tests.md").read_text()


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_mutant_is_documented_with_the_test_that_owns_it(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("::")
    assert f"| {mutant.mistake} | `{mutant.name}` | [`{name}`](../{file}) |" in DOCUMENT
    assert f"def {name}(" in (ROOT / file).read_text()
