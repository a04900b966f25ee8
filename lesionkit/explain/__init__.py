"""Models and pixels become heat maps, and heat maps are scored."""
