"""What a chunk costs: a small program that measures the pipeline in process and the server end to end (`penstock bench --help`)."""
