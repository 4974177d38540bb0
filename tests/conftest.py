"""Settings of the whole suite."""

from hypothesis import settings

# these machines are shared: a slow example says nothing about the program
settings.register_profile("penstock", deadline=None)
settings.load_profile("penstock")
