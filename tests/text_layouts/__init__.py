"""Layouts of text models: small random models of `transformers`, exported, with the reference's answers."""
