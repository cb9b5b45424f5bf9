"""What opens a runtime and trusts it: choice, profiles, model, guard, cache."""
