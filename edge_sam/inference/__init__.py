"""Opening a model in a runtime and checking it: choice, shape profiles, model, guard, cache."""
