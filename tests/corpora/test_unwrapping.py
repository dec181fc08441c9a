from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.corpora import unwrapping

LINES = st.lists(
    st.sampled_from([*r"\%/#<@{}=;()*!: a", "def ", "class ", "from x import ", "import"])
)


@given(LINES.map("".join))
@example("  import x")
@example("a = b;")
@example("f(x);")
def test_source_code_is_found_by_the_first_or_last_character_of_a_line(text: str):
    line = text.rstrip()
    if line and unwrapping._SOURCE.match(line):
        assert unwrapping.is_source(line)
