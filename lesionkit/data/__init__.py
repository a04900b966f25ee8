"""Images and metadata become an index, a split and pixels."""

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")  # endings of image files, in lower case
