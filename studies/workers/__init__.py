"""Where trials train: processes of this machine or of a Dask cluster, and what runs in them."""
