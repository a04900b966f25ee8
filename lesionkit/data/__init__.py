"""Images and metadata become an index, a split and pixels."""
