"""Settings for all tests."""

from hypothesis import settings

# The default deadline asserts a time, and no test of ours does.
settings.register_profile("dsir", deadline=None)
settings.load_profile("dsir")
