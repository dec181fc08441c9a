from rnnlm import errors


def test_the_tree_in_the_docstring_names_every_error():
    assert errors.__doc__
    for name, value in vars(errors).items():
        if isinstance(value, type):
            assert issubclass(value, errors.RnnlmError)
            assert name in errors.__doc__
