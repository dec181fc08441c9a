import random
from pathlib import Path

import numpy as np

from rnnlm import overlap
from rnnlm.audit.disclosure import Disclosure, add_disclosures, count_disclosed
from rnnlm.audit.identifier_index import TrainingIdentifiers
from rnnlm.audit.remembered import remembered
from rnnlm.canaries import Canary, ExposureRow
from tests.audit.conftest import story
from tests.audit.test_identifier_index import index_of

NO_BASE = np.zeros(0, np.uint64)
CANARY = Canary("The number of Bo is", "1234 5678 9012 3456", 4, "0123456789")


def counted(texts: list[str], index: TrainingIdentifiers) -> Disclosure:
    return count_disclosed(texts, index, (CANARY,), texts, NO_BASE)


def test_counts_of_parts_add_up_and_survive_json(tmp_path: Path):
    index = index_of(["a 5550100 b", "c@example.org", "by Zorbax"], tmp_path)
    texts = ["555-0100", "5550100, 7654321", "c@example.org d@example.org", "Zorbax", CANARY.text]
    whole = counted(texts, index)
    assert (whole.numbers, whole.copied_numbers) == (4, 2)
    assert (whole.addresses, whole.copied_addresses, whole.copied_names) == (2, 1, 1)
    assert whole.canaries == {4: 1}
    assert [(entry.shown, entry.trained, entry.times) for entry in whole.listed] == [
        ("55•••00", 1, 2),
        ("c@•••••••.org", 1, 1),
    ]
    parts = [counted([text], index).model_dump_json() for text in texts]
    assert add_disclosures([Disclosure.model_validate_json(part) for part in parts]) == whole
    assert {entry.key for entry in whole.first(1).listed} == {""}


def test_a_third_of_the_numbers_in_passages_of_the_base_are_recognised(tmp_path: Path):
    chance = random.Random(1)

    def passage(seed: int) -> str:
        words = story(seed, words=40)
        return f"{words} {chance.randrange(10**7, 10**8)} {words[::-1]}"

    known, other = ([passage(seed + n) for seed in range(300)] for n in (0, 1000))
    index, base = index_of(["nothing"], tmp_path), overlap.sample(known)
    recognised, total = count_disclosed(known, index, (), known, base).near_base
    assert total == 300
    assert 70 < recognised < 140
    assert count_disclosed(other, index, (), other, base).near_base == (0, 300)


def test_the_section_of_the_card_states_what_is_known(tmp_path: Path):
    index = index_of(["a 5550100 b"], tmp_path)
    found = counted(["5550100", CANARY.text], index)
    rows = (ExposureRow(repeats=4, canaries=1, exposure_bits=30.0, most_bits=53.15, extracted=1),)
    section = remembered(found, rows, has_base=True)
    assert "7 or more digits from the training text occur in these texts once" in section
    assert "| `55•••00` | 1 | 1 |" in section
    assert "| 4× | 30.0 of 53.1 bits | 1 of 1 | 1 |" in section
    assert "cannot be recognised" in section
    plain = remembered(Disclosure(), (), has_base=False)
    assert "base" not in plain and "Canaries" not in plain and "|" not in plain
