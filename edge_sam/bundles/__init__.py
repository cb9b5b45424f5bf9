"""Model bundles: manifest, weights, zoo and downloads. `mobile-sam/` is the bundle that comes with the package."""
