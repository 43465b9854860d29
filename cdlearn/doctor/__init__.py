"""What this machine can do, and how long a run takes here: ``python -m cdlearn.doctor``."""
