"""Model bundles: manifest, weights, zoo, downloads. The one that ships lies in `mobile-sam/`."""
