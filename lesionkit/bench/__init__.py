"""How fast is it? Images a second of the whole beside the bare model and plain fastai, on this machine."""
