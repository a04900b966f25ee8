"""The page of the report: its parts, each as one piece."""
